"""Encoded bytes -> uint8 RGB pixels, or a reason why not.

The rule, named by DECODE_RULE and part of the feature space:
    content   one of `engine.images.formats.FORMATS`, told by the bytes and never by a name
    frames    the first of an animation
    scale     a JPEG is decoded at the smallest DCT scale (1/2, 1/4, 1/8) that leaves both sides at
              least twice those that the picture is resized to
    EXIF      orientation applied; colour profiles are not
    colour    grey, palette, YCbCr and CMYK (inverted, as Adobe writes it) -> RGB as Pillow does;
              12 and 16 bits by the eight high ones, also of a TIFF whose 0 is white; 32-bit and
              floating-point greys are rejected, for nothing says what is white
    resize    straight to the target, the aspect not kept (as Keras' `load_img`), or the middle of
              the picture (`engine.images.framing`); antialiased except nearest
              (`engine.images.resize`)
    alpha     over white; colours are weighted by their opacity in the resize; a TIFF's fourth
              band is alpha only where the file says so
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from engine.images.formats import FORMATS, HEAD_BYTES, image_format, other_kind
from engine.images.framing import Framing, cut_box, resized
from engine.images.limits import Rejected
from engine.images.load import Picture, load_picture
from engine.images.metadata import swaps_sides, transposition
from engine.images.resize import resize

__all__ = ["DECODE_RULE", "Decoded", "Rejected", "decode", "decode_with_remark"]

DECODE_RULE = "pillow-dct2x-exif-white/4"

# Left, top, right, bottom, on an image's pixels.
Box = tuple[float, float, float, float]

# The greatest value of 12 bits. An image of 16 that has none above is nearly black.
_TWELVE_BITS = 2**12 - 1


@dataclass(frozen=True)
class Decoded:
    """The pixels of an image, uint8 (height, width, 3) RGB, maybe read-only.

    remark: what is odd about them, in a line that is the same for all images of which it is true;
        empty where nothing is.
    picture: (height, width) of the whole picture, upright, before any resize.
    """

    pixels: np.ndarray
    remark: str
    picture: tuple[int, int]


def decode(
    data: bytes, size: tuple[int, int], interpolation: str, crop: str = "squash"
) -> np.ndarray:
    """Return the pixels of an encoded image, uint8 (height, width, 3) RGB, maybe read-only.

    As `decode_with_remark`, for whom the remark does not matter.
    """
    return decode_with_remark(data, size, Framing(interpolation, crop)).pixels


def decode_with_remark(data: bytes, size: tuple[int, int], framing: Framing) -> Decoded:
    """Decode an encoded image.

    size: (height, width). framing: how the picture comes to it.

    May be called by several threads at once, which decode and resize without the GIL.

    Raises:
        Rejected: and nothing else, whatever the bytes.
    """
    if not data:
        raise Rejected("the file is empty")
    form = image_format(data[:HEAD_BYTES])
    if form is None:
        other = other_kind(data[:HEAD_BYTES])
        raise Rejected(other or f"not an image of a known format ({', '.join(FORMATS)})")
    try:
        picture = load_picture(data, form, size, framing.crop)
        remark, orientation = _remark(picture), picture.orientation
        full = picture.size or picture.image.size
        image = _eight_bits(picture)
        del picture  # so that there are never three images of a size in memory
        image = _upright(image, orientation)
        full = full[::-1] if swaps_sides(orientation) else full
        box = _box(image, full, size, framing.crop)
        return Decoded(_pixels(image, size, framing.interpolation, box), remark, full[::-1])
    except Rejected:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Rejected("too many pixels") from None  # what a format finds out for itself
    except MemoryError:
        raise Rejected("too large to decode in the memory there is") from None
    except Exception as error:
        # Pillow raises SyntaxError, OSError, ValueError, struct.error, IndexError, ... on damage.
        raise Rejected(f"damaged {form}: {_one_line(error)}") from error


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    method = transposition(orientation)
    return image if method is None else image.transpose(method)


def _box(image: Image.Image, full: tuple[int, int], size: tuple[int, int], crop: str) -> Box | None:
    """Return the part of an upright image that is wanted; None for all of it.

    full: its (width, height) before any reduced scale, by which sides are rounded.
    """
    if crop == "squash":
        return None
    return cut_box((image.height, image.width), size, resized(full[::-1], size, crop))


def _pixels(
    image: Image.Image, size: tuple[int, int], interpolation: str, box: Box | None
) -> np.ndarray:
    if image.has_transparency_data:
        # RGBa is RGBA with the colours multiplied by alpha: resized so, a transparent pixel's
        # colour has no weight, and what alpha lacks is white.
        if image.mode not in ("RGBA", "RGBa"):
            image = image.convert("RGBA")
        if image.mode == "RGBA":
            image = image.convert("RGBa")
        scaled = resize(image, size, interpolation, box)
        white = np.subtract(255, scaled[..., 3:], dtype=np.uint8)
        # Bicubic and Lanczos may overshoot, so that the sum is not bounded by 255.
        over_white: np.ndarray = white + np.minimum(scaled[..., :3], 255 - white)
        return over_white
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    pixels = resize(image, size, interpolation, box)
    return pixels if image.mode == "RGB" else np.repeat(pixels[..., None], 3, axis=2)


def _is_sixteen_bits(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")


def _eight_bits(picture: Picture) -> Image.Image:
    """Return a grey image of 12 or 16 bits by the eight high ones; others as they are."""
    image = picture.image
    if not _is_sixteen_bits(image):
        if image.mode in ("I", "F"):
            raise Rejected("32-bit or floating-point pixels, of which nothing says what is white")
        return image
    grey = np.asarray(image)
    high = (grey >> (picture.bits - 8)).astype(np.uint8)
    if picture.min_is_white:
        high = 255 - high
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        high[grey == transparent] = 255
    return Image.fromarray(high)


def _remark(picture: Picture) -> str:
    if picture.bits != 16:
        return ""
    image = picture.image
    channels = np.atleast_2d(image.getextrema())
    greatest = max(
        most for name, (_, most) in zip(image.getbands(), channels, strict=True) if name != "A"
    )
    if not 0 < greatest <= (_TWELVE_BITS if _is_sixteen_bits(image) else _TWELVE_BITS >> 8):
        return ""
    return "nearly black: it has 16 bits, but no value above 4095; such images want scaling"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
