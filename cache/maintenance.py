"""One compact, merge or gc at a time: the only lock of a cache, and extraction never takes it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cache.failures import Failure


@contextmanager
def maintenance(cache: Path) -> Iterator[None]:
    """Hold the cache's maintenance lock while the block runs.

    The operating system gives it back when the process ends, however it ends.

    Raises:
        Failure: another process holds it.
        OSError: the cache cannot be written to.
    """
    with (cache / ".maintenance").open("ab") as file:
        try:
            _lock(file.fileno())
        except (BlockingIOError, PermissionError) as error:
            raise Failure(
                f"another compact, merge or gc is at work in {cache}; wait for it to end"
            ) from error
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
