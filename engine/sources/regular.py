"""Regular files, read within limits: what may wait for ever or never end is not read at all."""

import io
import os
import stat
from pathlib import Path

from engine.sources.base import MAX_BYTES, Unreadable, within_limit

# Windows knows none of these but O_BINARY, and no pipes among files either.
_FLAGS = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
)


def open_regular(path: Path) -> io.FileIO:
    """Open a regular file for reading, unbuffered, without waiting for anything.

    The descriptor is looked at and not the name, which may stand for a pipe a moment later.

    Raises:
        OSError: there is none, it may not be read, or it is a pipe, a device or a folder.
        ValueError: a NUL in the name.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(None, "not a regular file")
        return io.FileIO(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_file(path: Path) -> bytes:
    """Return a regular file's bytes.

    Raises:
        Unreadable: there is none, it may not be read, it is larger than MAX_BYTES, or it is a pipe
            or a device, which might never end.
    """
    try:
        with open_regular(path) as file:
            within_limit(os.fstat(file.fileno()).st_size)
            # Files of the system say 0 and hold more: so one byte more than may be is asked for.
            data = _read(file, MAX_BYTES + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the name
        raise Unreadable(f"cannot be read: {error}") from error
    within_limit(len(data))
    return data


def file_size(path: str | Path) -> int | None:
    """Return the size of a regular file in bytes; None where `read_file` gives nothing of it."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a million of them: no Path for each
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def read_first(path: Path, most: int) -> bytes:
    """Return a file's first so many bytes; none where they cannot be had, as of a pipe."""
    try:
        with open_regular(path) as file:
            return _read(file, most)
    except (OSError, ValueError):
        return b""


def _read(file: io.FileIO, most: int) -> bytes:
    """Return the first so many bytes, or all.

    Raises:
        OSError: they would have to be waited for.
    """
    size = os.fstat(file.fileno()).st_size
    pieces, left = [], most
    while left:
        # The size first, then a little: a buffer of the limit for each file would cost memory.
        piece = file.read(min(left, max(size + 1, 2**16)))
        if piece is None:
            raise OSError(None, "it would have to be waited for")
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
        size = 0
    return b"".join(pieces)
