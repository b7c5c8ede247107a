"""PNG and GIF files by their chunks and blocks, before Pillow sees them.

Pillow takes a turn in Python for each, unpacks a PNG's texts and profiles, and prints warnings
about damaged ones.
"""

import struct
from dataclasses import dataclass

from engine.images.limits import MAX_CHUNKS, MAX_GIF_BLOCKS, MAX_PIXELS, check_count, check_size
from engine.images.metadata import read_orientation

_SIGNATURE = 8
_DEPTH = 24  # where the first chunk says how many bits a value has
_AROUND = 12  # what a chunk has besides its content: length, name and checksum
_END = b"IEND"
_EXIF = b"eXIf"
_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", _END})

# GIF89a: the first byte of each kind of block.
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_HAS_PALETTE = 0x80


@dataclass(frozen=True)
class Png:
    """A PNG file without its metadata. orientation: 1 to 8. bits: of a value, up to 16."""

    data: bytes
    orientation: int
    bits: int


def read_png(data: bytes) -> Png:
    """Leave out the texts, profiles and further frames of a PNG file.

    A chunk that is cut short is left to the decoder.

    Raises:
        Rejected: more than MAX_CHUNKS.
    """
    pieces = [data[:_SIGNATURE]]
    bits = int.from_bytes(data[_DEPTH : _DEPTH + 1], "big")
    exif = b""
    at, number = _SIGNATURE, 0
    while at + _AROUND <= len(data):
        number += 1
        check_count(number, MAX_CHUNKS, "chunks")
        name = data[at + 4 : at + 8]
        end = at + _AROUND + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            break
        if name in _PIXELS:
            pieces.append(data[at:end])
        elif name == _EXIF:
            exif = data[at + 8 : end - 4]
        at = end
        if name == _END:
            return Png(b"".join(pieces), read_orientation(exif), bits)
    pieces.append(data[at:])
    return Png(b"".join(pieces), read_orientation(exif), bits)


def check_gif(data: bytes) -> None:
    """Look through what comes before the first frame of a GIF file; damage is left to the decoder.

    Raises:
        Rejected: more than MAX_GIF_BLOCKS blocks, or a frame of too many pixels.
    """
    flags = int.from_bytes(data[10:11], "little")
    at = 13 + ((2 << (flags & 7)) * 3 if flags & _HAS_PALETTE else 0)
    number, in_extension = 0, False
    while at < len(data):
        number += 1
        check_count(number, MAX_GIF_BLOCKS, "blocks")
        byte = data[at]
        if in_extension:
            in_extension = byte != 0
            at += 1 + byte
        elif byte == _EXTENSION:
            in_extension = True
            at += 2
        elif byte == _IMAGE and at + 9 <= len(data):
            left, top, width, height = struct.unpack_from("<HHHH", data, at + 1)
            check_size((left + width, top + height), MAX_PIXELS)  # Pillow makes the screen larger
            return
        elif byte == _TRAILER:
            return
        else:
            at += 1
