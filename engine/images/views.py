"""Several views of one image, over which a prediction is averaged.

Measured with MobileNetV2 (docs/benchmarks.md): the image with its mirror image, and four crops as
well, are right a little more often than the image alone; training on them gains nothing.
"""

from hashlib import sha256

import numpy as np

from engine.images.decode import Decoded, decode_with_remark
from engine.images.framing import Framing

# What crops are cut from is larger by this: the share of an image that torchvision keeps is 0.875.
_LARGER = 8 / 7


def decode_views(data: bytes, size: tuple[int, int], framing: Framing, views: int) -> Decoded:
    """Decode an encoded image to its views, uint8 (views, height, width, 3).

    The crops hang on the bytes alone: the same image has the same views everywhere.

    size, framing: as `decode_with_remark` takes them. views: one of `formats.VIEWS`.

    Raises:
        Rejected: as `decode_with_remark`.
    """
    image = decode_with_remark(data, size, framing)
    pictures = [image.pixels]
    if views > 1:
        pictures.append(image.pixels[:, ::-1])
    if views > len(pictures):
        height, width = size
        larger = round(height * _LARGER), round(width * _LARGER)
        wide = decode_with_remark(data, larger, framing).pixels
        rng = np.random.default_rng(np.frombuffer(sha256(data).digest(), np.uint32))
        for _ in range(views - len(pictures)):
            top = int(rng.integers(0, larger[0] - height + 1))
            left = int(rng.integers(0, larger[1] - width + 1))
            pictures.append(wide[top : top + height, left : left + width])
    return Decoded(np.stack(pictures), image.remark, image.picture)
