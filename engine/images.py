"""Encoded bytes -> uint8 RGB pixels, or a reason why not.

The rule, named by DECODE_RULE and part of the feature space:
    content   JPEG, PNG, GIF, BMP, WebP or TIFF, told by the bytes and never by a name
    frames    the first of an animation
    scale     a JPEG is decoded at the smallest DCT scale (1/2, 1/4, 1/8) that leaves both sides at
              least twice the target's
    EXIF      orientation applied
    colour    grey, palette, CMYK and YCbCr -> RGB as Pillow does; 16-bit grey by its high byte;
              transparency over white
    resize    straight to the target, the aspect not kept (as Keras' `load_img`)
"""

import io
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageOps

DECODE_RULE = "pillow-dct2x-exif-white/1"

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")

# Above this an image is taken for a decompression bomb: 178,956,970 pixels is where Pillow itself
# raises (twice its MAX_IMAGE_PIXELS); an RGB image of that size takes 0.5 GB.
MAX_PIXELS = 178_956_970

INTERPOLATIONS: Mapping[str, Image.Resampling] = MappingProxyType(
    {
        "nearest": Image.Resampling.NEAREST,
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "lanczos": Image.Resampling.LANCZOS,
    }
)

_ORIENTATION = 0x0112


class Rejected(Exception):
    """These bytes give no pixels; `reason` says why, in a line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode(data: bytes, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Return the pixels of an encoded image, uint8 (height, width, 3) RGB.

    size: (height, width).
    interpolation: a key of INTERPOLATIONS.

    May be called by several threads at once. Raises Rejected, and nothing else, for any bytes.
    """
    if not data:
        raise Rejected("the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _pixels(image, size, INTERPOLATIONS[interpolation])
    except Image.UnidentifiedImageError:
        raise Rejected(f"not an image of a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise Rejected("too many pixels") from None
    except MemoryError:
        raise Rejected("too large to decode in the memory there is") from None
    except Exception as error:
        raise Rejected(f"damaged image: {_one_line(error)}") from error


def _pixels(image: Image.Image, size: tuple[int, int], resampling: Image.Resampling) -> np.ndarray:
    if image.width * image.height > MAX_PIXELS:
        raise Rejected(f"too many pixels ({image.width} x {image.height})")
    height, width = size
    orientation = image.getexif().get(_ORIENTATION, 1)
    if image.format == "JPEG":
        # An orientation of 5 to 8 turns the image by 90 degrees after it is decoded.
        wanted = (2 * height, 2 * width) if orientation in (5, 6, 7, 8) else (2 * width, 2 * height)
        image.draft(None, wanted)
    image.load()
    if orientation != 1:
        image = ImageOps.exif_transpose(image)
    rgb = _rgb(image).resize((width, height), resampling)
    return np.asarray(rgb)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16") or image.mode == "I":
        # 16-bit grey, which Pillow would clip at 255 instead of scaling.
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        transparent = image.convert("RGBA")
        white = Image.new("RGBA", transparent.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, transparent).convert("RGB")
    return image.convert("RGB")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
