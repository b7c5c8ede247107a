"""Pixels that come from memory, as bytes: what an image's digest is taken of where no file is.

    onceover pixels 1 KIND HEIGHT WIDTH\\n     ASCII; KIND is `array` or `picture`
    HEIGHT x WIDTH x 3 bytes                  uint8 RGB, row by row

The digest of these bytes is over kind, shape and pixels, and is no other file's. They are decoded
like any other format.
"""

import re

import numpy as np
from PIL import Image, ImageOps

_HEADER = re.compile(rb"onceover pixels 1 (?:array|picture) ([1-9]\d{0,5}) ([1-9]\d{0,5})\n")


def array_bytes(pixels: np.ndarray) -> bytes:
    """Return the bytes that stand for an array, uint8 (H, W, 3) RGB.

    Raises:
        ValueError: it is of another type or shape.
    """
    return _bytes(pixels, "array")


def picture_bytes(picture: Image.Image) -> bytes:
    """Return the bytes that stand for a picture of Pillow's: its RGB pixels, turned by its EXIF.

    What is transparent is over white. Raises OSError or the like where it cannot be loaded.
    """
    upright = ImageOps.exif_transpose(picture)
    if upright.has_transparency_data:
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright.convert("RGBA"))
    if upright.mode.startswith("I;16"):
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    return _bytes(np.asarray(upright.convert("RGB")), "picture")


def _bytes(pixels: np.ndarray, kind: str) -> bytes:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"{pixels.dtype} {pixels.shape} is not uint8 (H, W, 3)")
    header = f"onceover pixels 1 {kind} {pixels.shape[0]} {pixels.shape[1]}\n"
    return header.encode("ascii") + np.ascontiguousarray(pixels).tobytes()


def raw_size(data: bytes) -> tuple[int, int]:
    """Return (height, width) of raw pixels. ValueError if the bytes are not those of any."""
    header = _HEADER.match(data)
    if header is None:
        raise ValueError("not as raw pixels begin")
    height, width = int(header[1]), int(header[2])
    if len(data) != header.end() + 3 * height * width:
        raise ValueError(f"not the {height} x {width} pixels that it says")
    return height, width


def read_raw(data: bytes) -> Image.Image:
    """Return raw pixels as an image of mode RGB. ValueError as `raw_size`."""
    height, width = raw_size(data)
    return Image.frombytes("RGB", (width, height), data[len(data) - 3 * height * width :])
