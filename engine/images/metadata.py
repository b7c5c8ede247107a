"""What stands before a JPEG's pixels, and the orientation that a camera recorded in EXIF."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from PIL.Image import Transpose

from engine.images.limits import MAX_FILL_BYTES, MAX_SEGMENTS, check_count

# ITU-T T.81, table B.1, the second byte of each marker.
_EOI = 0xD9
_SOS = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})
_APP1 = 0xE1
_COMMENT = 0xFE
# JFIF and Adobe: the two that tell how colours are stored.
_COLOURS = frozenset({0xE0, 0xEE})
_METADATA = (frozenset(range(0xE0, 0xF0)) | {_COMMENT}) - _COLOURS

# What libjpeg takes for a marker that a segment follows: 0xFF 0x00 is data, and so, to it, are the
# marks of a restart (0xD0 to 0xD7) and 0x01, which stand alone.
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")

# EXIF 2.32, 4.6.4 A: the tag, and what brings each value upright. 1 is upright.
_ORIENTATION = 0x0112
_SHORT = 3
_TRANSPOSITIONS = (
    None,
    Transpose.FLIP_LEFT_RIGHT,
    Transpose.ROTATE_180,
    Transpose.FLIP_TOP_BOTTOM,
    Transpose.TRANSPOSE,
    Transpose.ROTATE_270,
    Transpose.TRANSVERSE,
    Transpose.ROTATE_90,
)


@dataclass(frozen=True)
class Jpeg:
    """A JPEG file without its metadata.

    data: the file; its segments of EXIF, XMP, ICC, thumbnails and comments are left out, and so are
        fill bytes and what else lies between segments.
    exif: the EXIF block, empty where there is none.
    scans: how many passes over the pixels decoding takes; many in a progressive file.
    coefficient_bytes: what the decoder keeps of the whole picture between its passes, whatever the
        scale; 0 where one pass does.
    """

    data: bytes
    exif: bytes
    scans: int
    coefficient_bytes: int


def read_jpeg(data: bytes) -> Jpeg:
    """Take a JPEG file apart, by the markers that libjpeg would see.

    Raises:
        Rejected: more than MAX_SEGMENTS of them.
        ValueError: the file is damaged before its pixels.
    """
    # Beyond so many fill bytes there is no picture; libjpeg would begin such a run again each time
    # that it is given more of it.
    fill = data.find(b"\xff" * MAX_FILL_BYTES)
    data = data[:fill] if fill >= 0 else data
    segments = [data[:2]]
    exif, frame = b"", b""
    for number, (marker, at, end) in enumerate(_segments(data, 2)):
        check_count(number, MAX_SEGMENTS, "segments")
        if marker == _SOS:
            segments += [bytes((0xFF, marker)), data[at:]]
            passes = not _is_sequential(frame) or data[at + 2 : at + 3] != frame[8:9]
            scans = 1 + _count_scans(data, end, number) if passes else 1
            coefficients = _coefficient_bytes(frame) if passes else 0
            return Jpeg(b"".join(segments), exif, scans, coefficients)
        if marker in _FRAMES:
            frame = data[at - 1 : end]
        if marker == _APP1 and not exif and data.startswith(b"Exif\0\0", at + 2):
            exif = data[at + 2 : end]
        if marker not in _METADATA:
            segments += [bytes((0xFF, marker)), data[at:end]]
    raise ValueError("it ends before its pixels")


def _segments(data: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Yield the segments from an offset up to the end of the picture, or of the file.

    Each as its marker, where its length stands and where it ends. What is between segments is no
    part of any: any number of fill bytes (ITU-T T.81, B.1.1.2), the data of a scan, or junk.
    """
    while (match := _MARKER.search(data, at)) is not None:
        marker, start = match[1][0], match.end()
        if marker == _EOI:
            return
        length = int.from_bytes(data[start : start + 2], "big")
        if length < 2 or start + length > len(data):
            raise ValueError(f"its segment at byte {match.start()} is cut short")
        at = start + length
        yield marker, start, at


def _count_scans(data: bytes, at: int, before: int) -> int:
    """Return how many scans follow the first, up to the end of the picture.

    before: how many segments come before.
    """
    scans = 0
    try:
        for number, (marker, _, _) in enumerate(_segments(data, at), before):
            check_count(number, MAX_SEGMENTS, "segments")
            scans += marker == _SOS
    except ValueError:
        pass  # cut short between two scans, which the decoder will see
    return scans


def _is_sequential(frame: bytes) -> bool:
    return frame[:1] != b"" and frame[0] in _SEQUENTIAL


def _coefficient_bytes(frame: bytes) -> int:
    """Return the bytes of all coefficients, of two bytes each, in blocks of 8 x 8 (T.81, A.1).

    frame: the header of the frame from its marker's second byte on.
    """
    height, width = struct.unpack_from(">HH", frame, 4)
    factors = [(byte >> 4, byte & 15) for byte in frame[10 : 9 + 3 * frame[8] : 3]]
    if not factors or 0 in sum(factors, ()):
        raise ValueError("its frame has no components")
    across, down = (max(column) for column in zip(*factors, strict=True))
    blocks = sum(a * d for a, d in factors) * -(-width // (8 * across)) * -(-height // (8 * down))
    return 64 * 2 * int(blocks)


def read_orientation(exif: bytes) -> int:
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
            if tag == _ORIENTATION:
                return value if kind == _SHORT and values == 1 and 1 <= value <= 8 else 1
    except struct.error:
        pass  # the block ends early: what it does not say is upright
    return 1


def transposition(orientation: int) -> Transpose | None:
    """Return the transposition that brings an image of this orientation (1 to 8) upright."""
    return _TRANSPOSITIONS[orientation - 1]


def swaps_sides(orientation: int) -> bool:
    """Return whether bringing it upright swaps width and height."""
    return orientation >= 5
