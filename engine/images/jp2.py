"""What a JPEG 2000 file declares, before OpenJPEG takes memory for it."""

import struct

from engine.images.limits import (
    BYTES_PER_PIXEL,
    MAX_LAYERS,
    MAX_PIXELS,
    MAX_SEGMENTS,
    MAX_TILES,
    Rejected,
    check_bytes,
    check_count,
    check_size,
)

# ITU-T T.800, annex A.
_START = b"\xff\x4f\xff\x51"
_SIZE, _CODING, _COMPONENT = 0xFF51, 0xFF52, 0xFF53
_TILE_PART, _DATA = 0xFF90, 0xFF93
_BANDS = 4
_LEAST_BLOCK = 8  # the logarithm of its pixels; smaller ones are many
_OWN_PRECINCTS = 1
_LEAST_PRECINCT = 5


def check_jp2(data: bytes) -> None:
    """Look through the headers of a JPEG 2000 file or codestream.

    Raises:
        Rejected: it would take too much memory or time.
        ValueError, struct.error: it is damaged.
    """
    at = _codestream(data) + 2
    parts, in_tile, part_end = 0, False, 0
    while True:
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == _SIZE:
            _check_size(data, at)
        elif marker == _TILE_PART:
            parts += 1
            check_count(parts, 4 * MAX_TILES, "parts of tiles")
            (size,) = struct.unpack_from(">L", data, at + 6)
            part_end = at + size if size else len(data)
            in_tile = True
        elif marker in (_CODING, _COMPONENT):
            if in_tile:
                raise Rejected("JPEG 2000 with settings of its own for a tile")
            _check_coding(data, at, marker)
        elif marker == _DATA:
            if part_end <= at or part_end + 12 > len(data):
                return
            at = part_end
            continue
        elif marker == 0xFFD9 or marker < 0xFF00:
            return
        at += 2 + length


def _codestream(data: bytes) -> int:
    """Return where the codestream begins: in the first box of that kind, as OpenJPEG takes it."""
    at, number = 0, 0
    while not data.startswith(_START, at):
        number += 1
        check_count(number, MAX_SEGMENTS, "boxes")
        length, kind = struct.unpack_from(">L4s", data, at)
        head = 8
        if length == 1:  # it follows in eight bytes
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        if kind != b"jp2c" and length < head:
            raise ValueError("it has no codestream")
        at += head if kind == b"jp2c" else length
    return at


def _check_size(data: bytes, at: int) -> None:
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top, bands = (
        struct.unpack_from(">LLLLLLLLH", data, at + 6)
    )
    check_size((right - left, bottom - top), MAX_PIXELS)
    check_bytes((right - left) * (bottom - top) * BYTES_PER_PIXEL["JPEG 2000"])
    if bands > _BANDS:
        raise Rejected(f"{bands} bands, of which nothing says which are colours")
    if not tile_width or not tile_height or left < tile_left or top < tile_top:
        raise ValueError("no valid tiles")
    tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    check_count(tiles, MAX_TILES, "tiles")


def _check_coding(data: bytes, at: int, marker: int) -> None:
    """Check the coding style, of which each small block, precinct and layer costs memory."""
    own_precincts, levels_at = data[at + 4] & _OWN_PRECINCTS, at + 9
    if marker == _CODING:
        (layers,) = struct.unpack_from(">H", data, at + 6)
        check_count(layers, MAX_LAYERS, "layers")
    else:
        own_precincts, levels_at = data[at + 5] & _OWN_PRECINCTS, at + 6
    levels, across, down = struct.unpack_from("BBB", data, levels_at)
    if (across & 15) + (down & 15) + 4 < _LEAST_BLOCK:
        raise Rejected("JPEG 2000 in blocks of less than 256 pixels")
    if own_precincts:
        sizes = data[levels_at + 5 : levels_at + 5 + levels + 1]
        if any(min(size & 15, size >> 4) < _LEAST_PRECINCT for size in sizes):
            raise Rejected("JPEG 2000 in precincts of less than 32 pixels")
