"""PBM, PGM and PPM files -> pixels, by NumPy: Pillow decodes most of them in Python."""

import re

import numpy as np
from PIL import Image

from engine.images.limits import (
    BYTES_PER_PIXEL,
    MAX_PIXELS,
    MAX_PLAIN_PIXELS,
    check_bytes,
    check_size,
)

# Whitespace and comments, which may stand between the numbers of the header.
_SPACE = rb"(?:\s|#[^\n\r]*[\n\r])+"
_BITMAP = re.compile(rb"(P[14])" + _SPACE + rb"(\d{1,10})" + _SPACE + rb"(\d{1,10})\s")
_LEVELS = re.compile(_BITMAP.pattern[:-2].replace(b"14", b"2356") + _SPACE + rb"(\d{1,5})\s")

_NUMBERS = re.compile(rb"[\d\s]*")

_PLAIN = (b"P1", b"P2", b"P3")
_COLOUR = (b"P3", b"P6")


def read_pnm(data: bytes) -> Image.Image:
    """Return the image of a PNM file (http://netpbm.sourceforge.net/doc/), of mode L or RGB.

    Values are scaled so that the greatest one that the header allows is 255.

    Raises:
        Rejected: more than MAX_PIXELS, or MAX_PLAIN_PIXELS as text.
        ValueError: the file is damaged or ends early.
    """
    header = _LEVELS.match(data) or _BITMAP.match(data)
    if header is None:
        raise ValueError("no valid header")
    kind, width, height = header[1], int(header[2]), int(header[3])
    greatest = int(header[4]) if header.re is _LEVELS else 1
    check_size((width, height), MAX_PLAIN_PIXELS if kind in _PLAIN else MAX_PIXELS)
    check_bytes(width * height * BYTES_PER_PIXEL["PNM"])
    if not width or not height or not 0 < greatest < 2**16:
        raise ValueError("no valid header")
    bands = 3 if kind in _COLOUR else 1
    values = _values(data[header.end() :], kind, (height, width * bands), greatest)
    if values.max() > greatest:
        raise ValueError(f"a value above {greatest}")
    if greatest != 255:
        # In blocks of rows, for the products need four bytes each.
        levels = np.empty(values.shape, np.uint8)
        for row in range(0, height, 64):
            block = values[row : row + 64].astype(np.uint32)
            levels[row : row + 64] = (block * 255 + greatest // 2) // greatest
        values = levels
    if kind in (b"P1", b"P4"):
        values = 255 - values  # 1 is black
    pixels = values.reshape(height, width, 3) if bands == 3 else values
    return Image.fromarray(np.ascontiguousarray(pixels, np.uint8))


def _values(body: bytes, kind: bytes, shape: tuple[int, int], greatest: int) -> np.ndarray:
    """Return the values of a file's body, whole numbers of the shape (height, values a row)."""
    height, row = shape
    if kind == b"P4":
        packed = np.frombuffer(body, np.uint8, height * -(-row // 8)).reshape(height, -1)
        return np.unpackbits(packed, axis=1, count=row)
    if kind not in _PLAIN:
        form = np.dtype(np.uint8 if greatest < 256 else ">u2")
        return np.frombuffer(body, form, height * row).reshape(shape)
    text = re.sub(rb"#[^\n\r]*", b" ", body)
    if kind == b"P1":  # its digits need no space between them
        digits = np.frombuffer(re.sub(rb"\s+", b"", text), np.uint8, height * row)
        return (digits - ord("0")).reshape(shape)
    if not _NUMBERS.fullmatch(text):  # of others NumPy makes what it pleases
        raise ValueError("something else than numbers")
    return np.fromstring(text, np.int32, height * row, sep=" ").reshape(shape)
