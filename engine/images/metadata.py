"""The segments of a JPEG file that come before its pixels."""

from dataclasses import dataclass

# ITU-T T.81, table B.1, the second byte of each marker.
_SOS = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})
_APP1 = 0xE1
_COMMENT = 0xFE
# JFIF and Adobe: the two that tell how colours are stored.
_KEPT = frozenset({0xE0, 0xEE})
_METADATA = (frozenset(range(0xE0, 0xF0)) | {_COMMENT}) - _KEPT


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
    kept = [data[:2]]
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
            kept.append(data[at:end])
        at = end
    kept.append(data[at:])
    return Jpeg(b"".join(kept), exif, scans)
