"""Tasks on their way to the workers of a cluster and back."""

import contextlib
import queue
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache.failures import Failure, first_line
from engine.runner.task import Job, Report
from engine.runner.wire import packed_samples, unpacked_report
from engine.sources.base import Sample

if TYPE_CHECKING:
    from distributed import Client, Future

# Seconds between two looks whether to stop.
_TICK = 0.2


def failed(reason: str) -> str:
    """Return what is said of a cluster that has failed."""
    return f"the cluster failed: {reason}; finished work is kept, run the same command to go on"


@dataclass(frozen=True)
class Task:
    """Samples to send. deaths: how often a worker died under them. avoid: a worker's name."""

    samples: Sequence[Sample]
    deaths: int = 0
    avoid: str = ""


class Tasks:
    """Tasks on their way to the workers and back; the client's side of the cluster."""

    def __init__(self, client: "Client", job: Job) -> None:
        from engine.runner.worker import SessionPlugin

        self._client, self._job = client, job
        self._done: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._under_way: dict[str, tuple[Future, Task]] = {}
        self.refused: dict[str, str] = {}
        self._threads, self._asked = dict[str, int](), -1.0
        self._stopped = False
        client.register_plugin(SessionPlugin())

    def __len__(self) -> int:
        """Return how many are under way."""
        return len(self._under_way)

    def workers(self) -> dict[str, int]:
        """Return the threads of each worker that takes part, by name; asked for once a second.

        Failure if the scheduler has gone.
        """
        if time.monotonic() - self._asked >= 1:
            try:
                workers = self._client.scheduler_info(n_workers=-1)["workers"]
            except Exception as error:  # as in `report`
                raise Failure(failed(first_line(error))) from error
            self._threads = {name: worker["nthreads"] for name, worker in workers.items()}
            self._asked = time.monotonic()
        return {name: n for name, n in self._threads.items() if name not in self.refused}

    def submit(self, task: Task) -> None:
        """Send a task. Failure if every worker has refused the job."""
        from engine.runner.worker import run_task

        allowed: list[str] | None = None
        if self.refused or task.avoid:
            everyone = list(self.workers())
            allowed = [name for name in everyone if name != task.avoid] or everyone
            if not allowed and self.refused:
                raise Failure(f"no worker can run this: {next(iter(self.refused.values()))}")
        future = self._client.submit(
            run_task,
            self._job,
            packed_samples(task.samples),
            key=f"onceover-{uuid.uuid4().hex}",
            pure=False,
            workers=allowed or None,
            allow_other_workers=not self.refused and bool(allowed),
        )
        self._under_way[future.key] = future, task
        future.add_done_callback(self._done.put)

    def report(self, future: "Future") -> Report:
        """Return what a task that finished gave. Failure if it can be had no more."""
        try:
            data = future.result()
        except Exception as error:  # the scheduler died with it: what Dask raises then differs
            raise Failure(failed(first_line(error))) from error
        return unpacked_report(data)

    def stop(self) -> None:
        """Have what is under way end soon, without waiting for it; said once."""
        if self._stopped:
            return
        self._stopped = True
        from engine.runner.worker import stop_job

        def tell() -> None:
            # A worker that stands still never answers, and one that has gone need not.
            with contextlib.suppress(Exception):
                self._client.run(stop_job, self._job.key, on_error="ignore")

        threading.Thread(target=tell, name="stop", daemon=True).start()

    def ended(self) -> "tuple[Future, Task] | None":
        """Return a task that ended, soon; None if none did."""
        try:
            future = self._done.get(timeout=_TICK)
        except queue.Empty:
            return None
        return self._under_way.pop(future.key)
