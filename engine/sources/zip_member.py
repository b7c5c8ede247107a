"""A member of a zip archive that is far away: its bytes in one request, for any thread.

`zipfile` would seek, once for each thread in turn, and ask for a member's header by itself.
"""

import io
import struct
import zipfile

from engine.sources.opened import Opened

# The header before a member's bytes, and what it says of its name and extra field (APPNOTE 4.3.7).
_HEADER = struct.Struct("<4s22xHH")
_MAGIC = b"PK\3\4"

# How much longer than in the list an extra field is, at most, before one more request is made.
_SLACK = 256


def open_member(opened: Opened, member: zipfile.ZipInfo) -> zipfile.ZipExtFile:
    """Open a member for reading.

    Raises:
        zipfile.BadZipFile: there is no member.
        Unreadable: its bytes cannot be had.
    """
    start, size = member.header_offset, member.compress_size
    listed = len(member.orig_filename.encode("utf-8", "replace")) + len(member.extra)
    data = opened.part(start, _HEADER.size + listed + _SLACK + size)
    if len(data) < _HEADER.size or not data.startswith(_MAGIC):
        raise zipfile.BadZipFile("no header of a file where the list says")
    _, name, extra = _HEADER.unpack_from(data)
    begin = _HEADER.size + name + extra
    packed = data[begin : begin + size]
    if len(packed) < size:
        packed = opened.part(start + begin, size)
    return zipfile.ZipExtFile(io.BytesIO(packed), "r", member)
