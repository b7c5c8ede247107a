"""A Dask cluster of processes of their own, for tests that kill its workers and its scheduler."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]

# What workers run before anything else, some twice: every batch takes a while.
SLOW = """
import time
from engine.runner import session
def slow(*arguments, collect=session.collect):
    for batch in collect(*arguments):
        time.sleep(0.2)
        yield batch
session.collect = slow
"""


class ClusterApart:
    """A scheduler and workers of one thread each, without nannies; a context manager.

    address: the scheduler's file. scheduler, workers: their processes; those that died, too.
    """

    def __init__(self, folder: Path, workers: int, *options: str) -> None:
        """options: of the scheduler and of each worker, as `--tls-ca-file FILE`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._options = folder, options
        self.address = folder / "scheduler.json"
        (folder / "slow.py").write_text(SLOW)
        self.scheduler = self._start("scheduler", "--port", "0", "--no-dashboard")
        self.workers: list[subprocess.Popen] = []
        try:
            while not self._is_written():
                assert self.scheduler.poll() is None, "the scheduler did not start"
                time.sleep(0.1)
            for _ in range(workers):
                self.start_worker()
        except BaseException:
            self.close()
            raise

    def _is_written(self) -> bool:
        try:
            json.loads(self.address.read_text())
        except (OSError, ValueError):
            return False
        return True

    def start_worker(self) -> subprocess.Popen:
        """Start one more worker; it is there some seconds later."""
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard"]
        preload = ["--preload", str(self._folder / "slow.py")]
        self.workers.append(self._start("worker", *options, *preload))
        return self.workers[-1]

    def _start(self, what: str, *options: str) -> subprocess.Popen:
        file = ["--scheduler-file", str(self.address)]
        return subprocess.Popen(
            [sys.executable, "-m", "dask", what, *options, *file, *self._options],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
        )

    def close(self) -> None:
        """Kill what still runs."""
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()

    def __enter__(self) -> "ClusterApart":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start_extraction(*arguments: object, group: bool = False) -> subprocess.Popen:
    """Start the command; what it prints can be read. group: as the first of a process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "engine.extract", *map(str, arguments), "--json", "--quiet"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=group,
    )


def wait_for_parts(cache: Path, count: int, process: subprocess.Popen) -> None:
    """Wait until a cache has so many parts, or the process that makes it has ended."""
    while len(list(cache.glob("spaces/*/parts/*"))) < count and process.poll() is None:
        time.sleep(0.02)
