"""The orientation that a camera recorded in EXIF."""

import struct

from PIL.Image import Transpose

# EXIF 2.32, 4.6.4 A: the tag, and what brings each value upright. 1 is upright.
_TAG = 0x0112
_SHORT = 3
_UPRIGHT = (
    None,
    Transpose.FLIP_LEFT_RIGHT,
    Transpose.ROTATE_180,
    Transpose.FLIP_TOP_BOTTOM,
    Transpose.TRANSPOSE,
    Transpose.ROTATE_270,
    Transpose.TRANSVERSE,
    Transpose.ROTATE_90,
)


def orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, of an EXIF block; 1 where it says none or is damaged.

    Read here because Pillow's reader takes in every tag and prints warnings about damaged ones.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "L", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values, value = struct.unpack_from(order + "HHLH", tiff, entry)
            if tag == _TAG:
                return value if kind == _SHORT and values == 1 and 1 <= value <= 8 else 1
    except struct.error:
        pass  # the block ends early: what it does not say is upright
    return 1


def upright(value: int) -> Transpose | None:
    """Return the transposition that brings an image of this orientation (1 to 8) upright."""
    return _UPRIGHT[value - 1]


def turned(value: int) -> bool:
    """Return whether bringing it upright swaps width and height."""
    return value >= 5
