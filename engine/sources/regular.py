"""Regular files, read within limits: what may wait for ever or never end is not read at all."""

import stat
from pathlib import Path

from engine.images.formats import HEAD_BYTES
from engine.sources.base import Unreadable, within_limit


def read_file(path: Path, first: int = -1) -> bytes:
    """Return a regular file's bytes, or the first so many.

    Raises:
        Unreadable: there is none, it may not be read, it is larger than MAX_BYTES, or it is a pipe
            or a device, which might never end.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("not a regular file")
        if first < 0:
            within_limit(status.st_size)
        with path.open("rb", buffering=0) as file:
            return file.read(first)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the name
        raise Unreadable(f"cannot be read: {error}") from error


def read_head(path: Path) -> bytes:
    """Return a file's first HEAD_BYTES bytes; none where they cannot be had, as of a pipe."""
    try:
        return read_file(path, HEAD_BYTES)
    except Unreadable:
        return b""
