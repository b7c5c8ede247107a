"""The codestream of a JPEG XL file, and the size that it declares.

libjxl decodes a file as it is opened, and unpacks its metadata; the codestream alone has all that
its pixels hang on, the orientation too (ISO/IEC 18181-1, annex D; 18181-2 for the boxes).
"""

import struct
from dataclasses import dataclass

from engine.images.limits import MAX_SEGMENTS, check_count

_START = b"\xff\x0a"
_WHOLE, _PART = b"jxlc", b"jxlp"
# Width to height, by the number that stands for it.
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_BITS_OF_SIDE = (9, 13, 18, 30)


@dataclass(frozen=True)
class Jxl:
    """The codestream of a JPEG XL file. size: (width, height)."""

    data: bytes
    size: tuple[int, int]


def read_jxl(data: bytes) -> Jxl:
    """Take a JPEG XL file apart.

    Raises:
        Rejected: more than MAX_SEGMENTS boxes.
        ValueError, struct.error: it is damaged.
    """
    codestream = data if data.startswith(_START) else _codestream(data)
    if not codestream.startswith(_START):
        raise ValueError("it has no codestream")
    return Jxl(codestream, _size(codestream[2:14]))


def _codestream(data: bytes) -> bytes:
    parts = []
    at, number = 0, 0
    while at + 8 <= len(data):
        number += 1
        check_count(number, MAX_SEGMENTS, "boxes")
        length, kind = struct.unpack_from(">L4s", data, at)
        start = at + 8
        if length == 1:  # it follows in eight bytes
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = at + length if length else len(data)
        if end < start:
            raise ValueError(f"its box at byte {at} is damaged")
        if kind in (_WHOLE, _PART):
            parts.append(data[start + (4 if kind == _PART else 0) : end])
        at = end
    return b"".join(parts)


def _size(head: bytes) -> tuple[int, int]:
    """Return (width, height) of the header of a codestream, whose bits begin with the lowest."""
    bits, at = int.from_bytes(head, "little"), 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return (bits >> (at - count)) & ((1 << count) - 1)

    def side(small: int) -> int:
        return 8 * (1 + take(5)) if small else 1 + take(_BITS_OF_SIDE[take(2)])

    small = take(1)
    height = side(small)
    ratio = take(3)
    if not ratio:
        return side(small), height
    across, down = _RATIOS[ratio - 1]
    return height * across // down, height
