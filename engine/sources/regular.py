"""Regular files, read within limits: what may wait for ever or never end is not read at all."""

import os
import stat
from pathlib import Path

from cache.files import open_file, read_first_of
from engine.sources.base import MAX_BYTES, Unreadable, within_limit


def read_file(path: Path) -> bytes:
    """Return a regular file's bytes.

    Raises:
        Unreadable: there is none, it may not be read, it is larger than MAX_BYTES, or it is a pipe
            or a device, which might never end.
    """
    try:
        with open_file(path) as file:
            within_limit(os.fstat(file.fileno()).st_size)
            # Files of the system say 0 and hold more: so one byte more than may be is asked for.
            data = read_first_of(file, MAX_BYTES + 1)
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
        with open_file(path) as file:
            return read_first_of(file, most)
    except (OSError, ValueError):
        return b""
