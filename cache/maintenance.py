"""One compact, merge, forget or gc at a time: a lock of the cache that extraction never takes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cache.failures import Failure
from cache.lock import file_lock


@contextmanager
def maintenance(cache: Path) -> Iterator[None]:
    """Hold the cache's maintenance lock while the block runs.

    Raises:
        Failure: another process holds it.
        OSError: the cache cannot be written to.
    """
    with ExitStack() as held:
        try:
            held.enter_context(file_lock(cache / ".maintenance", wait=False))
        except BlockingIOError as error:
            raise Failure(
                f"another compact, merge, forget or gc is at work in {cache}; wait for it to end"
            ) from error
        yield
