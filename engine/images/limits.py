"""What an image may ask for before it is taken for an attack, and how it is turned away.

Limits are of what a file declares, so that they are checked before any memory is taken or time is
spent. docs/limits.md has the measured cost of a file just below each of them.
"""

from collections.abc import Mapping
from types import MappingProxyType

# MAX_PIXELS (at the scale that is decoded) is where Pillow warns; MAX_JPEG_PIXELS lets the
# 200-megapixel photographs of telephones through, which the DCT scale makes small. No JPEG has a
# longer side than MAX_SIDE.
MAX_PIXELS = 89_478_485
MAX_JPEG_PIXELS = 2**28
MAX_SIDE = 65_535

# Bytes that decoding one image may take, by what it declares.
MAX_DECODE_BYTES = 2**30

# Bytes for each pixel, measured (docs/limits.md): Pillow's own image of four bytes, a second one
# while it is turned or its alpha is multiplied in, and what the format's library holds.
BYTES_PER_PIXEL: Mapping[str, int] = MappingProxyType(
    {"JPEG": 8, "PNG": 8, "GIF": 8, "BMP": 8, "TIFF": 8, "PNM": 12, "HEIF": 12, "WEBP": 16}
    | {"AVIF": 20, "JPEG XL": 24, "JPEG 2000": 26}
)

# Pixels times scans of a progressive JPEG: a small file can ask for thousands of passes.
MAX_SCANNED_PIXELS = 2**33

# Markers of a JPEG up to its end, chunks of a PNG, blocks of a GIF before its first frame, each of
# which costs a turn of a loop in Python. A JPEG of 256 MiB in the longest segments has 4,096.
MAX_SEGMENTS = 4096
MAX_FILL_BYTES = 2**16  # in a row
MAX_CHUNKS = 2**17
MAX_GIF_BLOCKS = 2**17

# Tags of a TIFF, and values in one of them: a strip or tile each. Pillow makes a Python object of
# each value. Rows of one pixel's height come to MAX_SIDE strips.
MAX_TAGS = 4096
MAX_TAG_VALUES = 2**18

# Of a run-length encoded BMP, which Pillow decodes in Python; two bytes of it can be a whole row.
MAX_RLE_PIXELS = 2**22

# Of a PNM file in text.
MAX_PLAIN_PIXELS = 2**24

# Tiles and layers of a JPEG 2000: OpenJPEG keeps kilobytes for each tile, and looks at each layer
# of each precinct.
MAX_TILES = 2**13
MAX_LAYERS = 64


class Rejected(Exception):
    """These bytes give no pixels; `reason` says why, in a line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def check_size(size: tuple[int, int], pixels: int) -> None:
    """Raise Rejected for more than so many pixels, or a side over MAX_SIDE.

    size: (width, height).
    """
    width, height = size
    if width * height > pixels or max(size) > MAX_SIDE:
        raise Rejected(f"too many pixels ({width} x {height})")


def check_count(number: int, limit: int, kind: str) -> None:
    """Raise Rejected for more of a kind (in the plural) than the limit."""
    if number > limit:
        raise Rejected(f"more than {limit:,} {kind}")


def check_bytes(needed: int) -> None:
    """Raise Rejected if decoding would take more than MAX_DECODE_BYTES."""
    if needed > MAX_DECODE_BYTES:
        raise Rejected(
            f"would take {needed / 2**30:.1f} GiB to decode, above {MAX_DECODE_BYTES / 2**30:.0f}"
        )
