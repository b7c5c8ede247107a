"""Encoded images written byte by byte, for what no encoder would write."""

import struct
import zlib

_LETTERS = {1: "B", 3: "H", 4: "L"}


def jpeg_segment(marker, body=b""):
    """Return a segment of a JPEG."""
    return bytes((0xFF, marker)) + struct.pack(">H", 2 + len(body)) + body


def png_chunk(kind, body):
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


def png(width, height, depth, colour, rows, extra=b""):
    header = struct.pack(">LLBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + extra
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def tiff(width, height, pixels, tags, order="<"):
    """Return a TIFF of one strip. tags: {number: (type, values)}, over those that it needs."""
    tags = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [8]),
        259: (3, [1]),
        262: (3, [1]),
        273: (4, [8]),
        277: (3, [1]),
        278: (4, [height]),
        279: (4, [len(pixels)]),
    } | tags
    body = pixels + b"\0" * (len(pixels) % 2)
    start = 8 + len(body)
    later = start + 2 + 12 * len(tags) + 4
    entries, extra = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        content = struct.pack(f"{order}{len(values)}{_LETTERS[kind]}", *values)
        if len(content) > 4:
            where = struct.pack(order + "L", later + len(extra))
            extra += content + b"\0" * (len(content) % 2)
        else:
            where = content.ljust(4, b"\0")
        entries += struct.pack(order + "HHL", tag, kind, len(values)) + where
    magic = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(order + "H", len(tags)) + entries + b"\0" * 4
    return magic + struct.pack(order + "L", start) + body + directory + extra
