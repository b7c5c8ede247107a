"""What stands before a JPEG's pixels, and the orientation that a camera recorded in EXIF."""

import struct
from dataclasses import dataclass

from PIL.Image import Transpose

# ITU-T T.81, table B.1, the second byte of each marker.
_SOS = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})
_APP1 = 0xE1
_COMMENT = 0xFE
# JFIF and Adobe: the two that tell how colours are stored.
_COLOURS = frozenset({0xE0, 0xEE})
_METADATA = (frozenset(range(0xE0, 0xF0)) | {_COMMENT}) - _COLOURS

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

    data: the file; its segments of EXIF, XMP, ICC, thumbnails and comments are left out.
    exif: the EXIF block, empty where there is none.
    scans: how many passes over the pixels decoding takes; many in a progressive file.
    """

    data: bytes
    exif: bytes
    scans: int


def read_jpeg(data: bytes) -> Jpeg:
    """Take a JPEG file apart.

    Whatever is no well-formed segment, and all that follows it, is kept as it is, for the decoder
    to judge.
    """
    segments = [data[:2]]
    exif = b""
    progressive, components, scans = False, b"", 1
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker < 0xC0 or 0xD0 <= marker <= 0xD9 or marker == 0xFF or end > len(data):
            break
        if marker == _SOS:
            if progressive or data[at + 4 : at + 5] != components:
                # A 0xFF inside a scan is followed by 0, so that each hit is the start of one.
                scans = data.count(b"\xff\xda", at)
            break
        if marker in _FRAMES:
            progressive, components = marker not in _SEQUENTIAL, data[at + 9 : at + 10]
        if marker == _APP1 and not exif and data.startswith(b"Exif\0\0", at + 4):
            exif = data[at + 4 : end]
        if marker not in _METADATA:
            segments.append(data[at:end])
        at = end
    segments.append(data[at:])
    return Jpeg(b"".join(segments), exif, scans)


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
