"""What exporting a network from elsewhere may take, whatever its file says: memory and time.

The export runs in a process of its own, which is what is limited.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from engine.graphs.model_file import data_file, other_files

# Bytes of memory: TensorFlow and what a small network needs, and copies of the file's own weights.
MEMORY = 6 * 2**30
MEMORY_PER_BYTE = 8

SECONDS = 1800.0


def limit_memory(network: Path) -> None:
    """Let this process have so much memory and no more: what would be beyond it fails.

    Only Linux can be told so.
    """
    if sys.platform == "linux":
        import resource

        files = (network, data_file(network), *other_files(network))
        size = sum(path.stat().st_size for path in files if path.is_file())
        limit = MEMORY + MEMORY_PER_BYTE * size
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        if most == resource.RLIM_INFINITY or limit < most:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


@contextlib.contextmanager
def limited_time(line: str) -> Iterator[None]:
    """End this process with a line on stderr where the block takes longer than SECONDS.

    A network may hold an endless loop, which runs in native code and cannot be interrupted.
    """

    def end() -> None:
        print(line, file=sys.stderr, flush=True)
        os._exit(1)

    timer = threading.Timer(SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
