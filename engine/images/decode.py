"""Encoded bytes -> uint8 RGB pixels, or a reason why not.

The rule, named by DECODE_RULE and part of the feature space:
    content   one of `engine.images.formats.FORMATS`, told by the bytes and never by a name
    frames    the first of an animation
    scale     a JPEG is decoded at the smallest DCT scale (1/2, 1/4, 1/8) that leaves both sides at
              least twice the target's
    EXIF      orientation applied; colour profiles are not
    colour    grey, palette, YCbCr and CMYK (inverted, as Adobe writes it) -> RGB as Pillow does;
              16 bits by the high byte; 32-bit and floating-point greys are rejected, for nothing
              says what is white
    resize    straight to the target, the aspect not kept (as Keras' `load_img`), antialiased
              except nearest (`engine.images.resize`)
    alpha     over white; colours are weighted by their opacity in the resize
"""

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from engine.images.formats import FORMATS, HEAD_BYTES, image_format
from engine.images.metadata import read_jpeg, read_orientation, swaps_sides, transposition
from engine.images.resize import resize

DECODE_RULE = "pillow-dct2x-exif-white/3"

# Above these an image is taken for a decompression bomb. MAX_PIXELS (at the scale that is decoded)
# is where Pillow warns; MAX_JPEG_PIXELS lets the 200-megapixel photographs of telephones through,
# which the DCT scale makes small. No JPEG has a longer side than MAX_SIDE.
MAX_PIXELS = 89_478_485
MAX_JPEG_PIXELS = 2**28
MAX_SIDE = 65_535

# Pixels times scans of a progressive JPEG: a small file can ask for thousands of passes.
MAX_SCANNED_PIXELS = 2**33

# Of a run-length encoded BMP, which Pillow decodes in Python; two bytes of it can be a whole row.
MAX_RLE_PIXELS = 2**22


class Rejected(Exception):
    """These bytes give no pixels; `reason` says why, in a line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode(data: bytes, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Return the pixels of an encoded image, uint8 (height, width, 3) RGB, maybe read-only.

    size: (height, width).
    interpolation: one of `engine.images.resize.INTERPOLATIONS`.

    May be called by several threads at once, which decode and resize without the GIL.

    Raises:
        Rejected: and nothing else, whatever the bytes.
    """
    if not data:
        raise Rejected("the file is empty")
    form = image_format(data[:HEAD_BYTES])
    if form is None:
        raise Rejected(f"not an image of a known format ({', '.join(FORMATS)})")
    try:
        image = _load_jpeg(data, size) if form == "JPEG" else _load(data, form)
        return _pixels(image, size, interpolation)
    except Rejected:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Rejected("too many pixels") from None  # what a format finds out for itself
    except MemoryError:
        raise Rejected("too large to decode in the memory there is") from None
    except Exception as error:
        # Pillow raises SyntaxError, OSError, ValueError, struct.error, IndexError, ... on damage.
        raise Rejected(f"damaged {form}: {_one_line(error)}") from error


def _load_jpeg(data: bytes, size: tuple[int, int]) -> Image.Image:
    """Return an upright JPEG at a reduced scale."""
    jpeg = read_jpeg(data)
    # The class itself: `Image.open` would warn about sizes, and take some photographs for MPO,
    # which has no reduced scale.
    image = JpegImageFile(io.BytesIO(jpeg.data))
    _check_size(image, MAX_JPEG_PIXELS)
    if image.width * image.height * jpeg.scans > MAX_SCANNED_PIXELS:
        raise Rejected(f"too many passes over the pixels ({jpeg.scans} scans)")
    height, width = size
    orientation = read_orientation(jpeg.exif)
    least = (2 * width, 2 * height)
    image.draft(None, least[::-1] if swaps_sides(orientation) else least)
    _check_size(image, MAX_PIXELS)
    image.load()
    return _upright(image, orientation)


def _load(data: bytes, form: str) -> Image.Image:
    """Return an upright image of another format."""
    image = _OPENERS[form](io.BytesIO(data))
    run_lengths = bool(image.tile) and image.tile[0][0] == "bmp_rle"
    _check_size(image, MAX_RLE_PIXELS if run_lengths else MAX_PIXELS)
    image.load()
    if form == "TIFF":
        return image  # Pillow turns a TIFF while it loads it
    # After the load: the EXIF of a PNG may come behind its pixels.
    exif = image.info.get("exif")
    return _upright(image, read_orientation(exif) if isinstance(exif, bytes) else 1)


def _avif(file: io.BytesIO) -> ImageFile:
    try:
        from PIL.AvifImagePlugin import SUPPORTED, AvifImageFile
    except ImportError:  # before Pillow 11.3
        SUPPORTED = False
    if not SUPPORTED:
        raise Rejected("AVIF, which this build of Pillow does not decode")
    return AvifImageFile(file)


_OPENERS: Mapping[str, Callable[[io.BytesIO], ImageFile]] = MappingProxyType(
    {
        "PNG": PngImageFile,
        "GIF": GifImageFile,
        "BMP": BmpImageFile,
        "WEBP": WebPImageFile,
        "TIFF": TiffImageFile,
        "AVIF": _avif,
    }
)


def _check_size(image: Image.Image, pixels: int) -> None:
    if image.width * image.height > pixels or max(image.size) > MAX_SIDE:
        raise Rejected(f"too many pixels ({image.width} x {image.height})")


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    method = transposition(orientation)
    return image if method is None else image.transpose(method)


def _pixels(image: Image.Image, size: tuple[int, int], interpolation: str) -> np.ndarray:
    image = _eight_bits(image)
    if image.has_transparency_data:
        # RGBa is RGBA with the colours multiplied by alpha: resized so, a transparent pixel's
        # colour has no weight, and what alpha lacks is white.
        if image.mode not in ("RGBA", "RGBa"):
            image = image.convert("RGBA")
        if image.mode == "RGBA":
            image = image.convert("RGBa")
        scaled = resize(image, size, interpolation)
        white = np.subtract(255, scaled[..., 3:], dtype=np.uint8)
        # Bicubic and Lanczos may overshoot, so that the sum is not bounded by 255.
        over_white: np.ndarray = white + np.minimum(scaled[..., :3], 255 - white)
        return over_white
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    pixels = resize(image, size, interpolation)
    return pixels if image.mode == "RGB" else np.repeat(pixels[..., None], 3, axis=2)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return a 16-bit grey image with the high byte of each pixel; others as they are."""
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")
    if not sixteen:
        if image.mode in ("I", "F"):
            raise Rejected("32-bit or floating-point pixels, of which nothing says what is white")
        return image
    grey = np.asarray(image)
    high = (grey >> 8).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        high[grey == transparent] = 255
    return Image.fromarray(high)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
