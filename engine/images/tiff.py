"""The tags of a TIFF's first image that its pixels hang on, and the file without all others.

Pillow reads every tag of a file, makes a Python object of each value and prints warnings about
damaged ones; libtiff follows more of them than are needed. Both get the file with a directory of
the tags below alone.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from engine.images.limits import MAX_TAG_VALUES, MAX_TAGS, Rejected, check_count

# TIFF 6.0 and its supplements, by what they tell.
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _ROWS, _PLANAR = 274, 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT, _EXTRA = 322, 323, 338
_SUBFILE, _SUB_DIRECTORIES = 254, 330
_DATA = frozenset({273, 279, 324, 325})  # where strips and tiles lie, and how long they are
_CODEC = frozenset({266, 292, 293, 317, 347, *range(512, 522), 50674, 0xBC01})
_COLOUR = frozenset({320, 332, 339, 529, 530, 531, 532})
_TAGS = (
    frozenset({_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _ROWS, _PLANAR})
    | {_TILE_WIDTH, _TILE_HEIGHT, _EXTRA}
    | _DATA
    | _CODEC
    | _COLOUR
)

# The types of values, with their sizes; BYTE, SHORT, LONG and LONG8 are the whole numbers.
_SIZES: Mapping[int, int] = MappingProxyType(
    {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
    | {16: 8, 17: 8, 18: 8}
)
_WHOLE: Mapping[int, str] = MappingProxyType({1: "B", 3: "H", 4: "L", 16: "Q"})

_ALPHA = (1, 2)  # ExtraSamples: multiplied into the colours, or beside them
_MIN_IS_WHITE = 0
_SEPARATE = 2

# Pillow takes no more, and says so through its logger.
_MAX_BANDS = 6


@dataclass(frozen=True)
class Tiff:
    """The first image of a TIFF file.

    data: the file, with a directory that holds what decoding needs and no more.
    orientation: 1 to 8.
    bits: of the first band.
    min_is_white: whether it says that 0 is white.
    has_alpha: whether it says that the band after the colours is opacity.
    block_bytes: the largest block that is decoded at once, a strip or a tile.
    """

    data: bytes
    orientation: int
    bits: int
    min_is_white: bool
    has_alpha: bool
    block_bytes: int


@dataclass(frozen=True)
class _Directory:
    """An image file directory.

    order: "<" or ">".
    big: BigTIFF, which counts in 8 bytes instead of 4.
    entries: where each tag's entry stands; of several for one tag the last, as Pillow has it.
    """

    data: bytes
    order: str
    big: bool
    entries: Mapping[int, int]

    def values(self, tag: int) -> tuple[int, ...]:
        """Return a tag's whole numbers; none where it has none, or none that are in the file."""
        at = self.entries.get(tag)
        if at is None:
            return ()
        kind, count, start, end = _extent(self, at)
        if kind not in _WHOLE or end > len(self.data):
            return ()
        check_count(count, MAX_TAG_VALUES, "strips, tiles or other values of a tag")
        return struct.unpack_from(f"{self.order}{count}{_WHOLE[kind]}", self.data, start)

    def value(self, tag: int, default: int) -> int:
        """Return the first of a tag's whole numbers."""
        return next(iter(self.values(tag)), default)


def read_tiff(data: bytes) -> Tiff:
    """Take a TIFF file apart.

    Raises:
        Rejected: it has too many tags, values of one, or bands.
        struct.error: the file ends before its directory does.
    """
    directory = _read_directory(data)
    thumbnail = directory.value(_SUBFILE, 0) & 1 and _SUB_DIRECTORIES in directory.entries
    if thumbnail or data[8:10] == b"CR":
        raise Rejected("a camera's raw file, of which TIFF readers see a preview; develop it")
    extra = directory.values(_EXTRA)
    bands = directory.value(_SAMPLES, 1)
    if bands - (len(extra) if directory.value(_PLANAR, 1) == _SEPARATE else 0) > _MAX_BANDS:
        raise Rejected(f"{bands} bands, of which nothing says which are colours")
    bits = directory.value(_BITS, 1)
    width, height = directory.value(_WIDTH, 0), directory.value(_HEIGHT, 0)
    if _TILE_WIDTH in directory.entries:
        block = directory.value(_TILE_WIDTH, 0) * directory.value(_TILE_HEIGHT, 0)
    else:
        block = width * min(directory.value(_ROWS, height), height)
    orientation = directory.value(_ORIENTATION, 1)
    return Tiff(
        _with_needed_tags(directory),
        orientation if 1 <= orientation <= 8 else 1,
        bits,
        directory.value(_PHOTOMETRIC, 1) == _MIN_IS_WHITE,
        directory.value(_EXTRA, 0) in _ALPHA,
        block * bands * -(-bits // 8),
    )


def _read_directory(data: bytes) -> _Directory:
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    (at,) = struct.unpack_from(order + ("Q" if big else "L"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
    check_count(count, MAX_TAGS, "tags")
    size, first = (20, at + 8) if big else (12, at + 2)
    entries = {}
    for entry in range(first, first + size * count, size):
        (tag,) = struct.unpack_from(order + "H", data, entry)
        entries[tag] = entry
    return _Directory(data, order, big, entries)


def _extent(directory: _Directory, at: int) -> tuple[int, int, int, int]:
    """Return the kind of an entry's values, their number, and the bytes from which to which."""
    form, space = ("HQ", 8) if directory.big else ("HL", 4)
    kind, count = struct.unpack_from(directory.order + form, directory.data, at + 2)
    size = count * _SIZES.get(kind, 0)
    start = at + 4 + space
    if size > space:
        (start,) = struct.unpack_from(directory.order + form[1], directory.data, start)
    return kind, count, start, start + size


def _with_needed_tags(directory: _Directory) -> bytes:
    """Return the file with a directory of _TAGS alone, in order, behind all else."""
    data, order, big = directory.data, directory.order, directory.big
    entries, total = [], 0
    for tag in sorted(_TAGS & directory.entries.keys()):
        at = directory.entries[tag]
        kind, count, begin, end = _extent(directory, at)
        if kind in _SIZES and end <= len(data):  # Pillow passes over others, with a warning
            check_count(count, _limit(kind), "strips, tiles or other values of a tag")
            total += end - begin
            entries.append(data[at : at + (20 if big else 12)])
    if total > len(data):  # Pillow keeps a copy for each
        raise Rejected("tags that share their values")
    padding = b"\0" * (len(data) % 2)
    start = struct.pack(order + ("Q" if big else "L"), len(data) + len(padding))
    number = struct.pack(order + ("Q" if big else "H"), len(entries))
    last = b"\0" * (8 if big else 4)
    head = data[:8] if big else data[:4]
    body = data[len(head) + len(start) :]
    return b"".join([head, start, body, padding, number, *entries, last])


def _limit(kind: int) -> int:
    """Return how many values of a kind are too many; BYTE and UNDEFINED are bytes to Pillow."""
    return 2**32 if kind in (1, 7) else MAX_TAG_VALUES
