"""Locks between processes: files that the operating system locks.

It gives a lock back when its process ends, however it ends.
"""

import errno
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_log = logging.getLogger(__name__)

# What file systems answer that have no locks.
_NONE = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})

# Seconds between two tries where the system cannot wait for a lock.
_PAUSE = 0.05


@contextmanager
def file_lock(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock on a file, which is made where it is missing, while the block runs.

    On a file system without locks the block runs without one, and a warning says so.

    wait: whether to wait until another process gives it back.

    Raises:
        BlockingIOError: another process holds it, and `wait` is False.
        OSError: the file cannot be written.
    """
    with path.open("ab") as file:
        try:
            _lock(file.fileno(), wait=wait)
        except OSError as error:
            if error.errno not in _NONE:
                raise
            _log.warning(
                "%s lies on a file system without locks: run one process at a time", path.parent
            )
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, *, wait: bool) -> None:
        while not _try_lock(descriptor):
            if not wait:
                raise BlockingIOError(errno.EAGAIN, "another process holds the lock")
            time.sleep(_PAUSE)

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True
else:
    import fcntl

    def _lock(descriptor: int, *, wait: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
