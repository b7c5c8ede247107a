"""Decoded images -> uint8 arrays of one size.

"bilinear", the default, is Pillow's antialiased filter (widened by the scale) computed by
fast_image_resize (https://github.com/Cykooz/fast_image_resize) in a quarter of the time: the same
but for one grey level, rarely two, where sums are rounded, and the same on every CPU, for its sums
are of integers. The others are Pillow's own: those that overshoot are cut to 0..255 between the two
directions, and the other library takes the directions in the other order
(docs/decisions/032-how-images-are-decoded.md).
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from cykooz_resizer import CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image

_BILINEAR = "bilinear"

_BY_PILLOW: Mapping[str, Image.Resampling] = MappingProxyType(
    {
        "nearest": Image.Resampling.NEAREST,
        "bicubic": Image.Resampling.BICUBIC,
        "lanczos": Image.Resampling.LANCZOS,
    }
)


def resize(
    image: Image.Image,
    size: tuple[int, int],
    interpolation: str,
    box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """Return an image's pixels at another size, uint8 (height, width[, channels]), maybe read-only.

    image: loaded, of mode L, RGB or RGBa (colours multiplied by alpha).
    size: (height, width); the aspect is not kept.
    interpolation: one of `engine.images.formats.INTERPOLATIONS`.
    box: the part that is wanted, left, top, right and bottom, on the image's pixels; what is around
        it still counts where the filter reaches over its edge. None for all of it.

    May be called by several threads at once; the work is done without the GIL. Raises MemoryError.
    """
    height, width = size
    if interpolation != _BILINEAR:
        return np.asarray(image.resize((width, height), _BY_PILLOW[interpolation], box))
    scaled = Image.new(image.mode, (width, height))
    # Rust ends the process where it gets no memory. It will ask for an image of the old width and
    # the new height, so Python asks for twice that first.
    np.empty((2, height, image.width, 4), np.uint8)
    part = None
    if box is not None:
        part = CropBox(box[0], box[1], box[2] - box[0], box[3] - box[1])
    bilinear = ResizeOptions(ResizeAlg.convolution(FilterType.bilinear), crop_box=part)
    # It reads and writes Pillow's memory, whose layout it knows for the versions in pyproject.toml.
    Resizer().resize_pil(image, scaled, bilinear)
    return np.asarray(scaled)
