"""A worker of a Dask cluster: one session a process, in a plug-in, and the task that uses it."""

import threading

from distributed import Worker, WorkerPlugin, get_worker

from cache.failures import Failure, first_line
from engine.process.allocator import keep_freed_memory
from engine.runner.kind import this_kind
from engine.runner.session import Session
from engine.runner.task import Job, Report
from engine.runner.wire import packed_report, unpacked_samples

# The plug-in's name among a worker's.
NAME = "onceover"


class SessionPlugin(WorkerPlugin):  # type: ignore[misc]  # Dask's are not typed
    """Keeps the session of the job that this process works on."""

    name = NAME

    def setup(self, worker: Worker) -> None:
        """Begin, in the worker's process: nothing is loaded before the first task."""
        del worker
        keep_freed_memory()
        self._lock, self._session = threading.Lock(), None
        self._stopped = ""

    def session(self, job: Job) -> Session:
        """Return the session of a job; that of another is let go. Raises as `Session` does."""
        with self._lock:
            if self._session is None or self._session.job.key != job.key:
                self._session = Session(job)
                if job.key == self._stopped:
                    self._session.stop()
            return self._session

    def stop(self, key: str) -> None:
        """Have the tasks of a job end soon, also those that are yet to begin."""
        with self._lock:
            self._stopped = key
            if self._session is not None and self._session.job.key == key:
                self._session.stop()

    _session: Session | None
    _stopped: str


def stop_job(key: str, dask_worker: Worker) -> None:
    """Stop a job in a worker's process, see `SessionPlugin.stop`; for `Client.run`."""
    if isinstance(plugin := dask_worker.plugins.get(NAME), SessionPlugin):
        plugin.stop(key)


def run_task(job: Job, samples: bytes) -> bytes:
    """Run a task in a worker's process; see `wire`. OSError if the cache could not be written."""
    worker = get_worker()
    plugin = worker.plugins[NAME]
    assert isinstance(plugin, SessionPlugin)
    try:
        session = plugin.session(job)
    except Failure as failure:
        refusal = Report(worker.address, this_kind().processor, refused=str(failure))
        return packed_report(refusal)
    try:
        return packed_report(session.run(unpacked_samples(samples), worker.address))
    except (OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - some cannot be pickled, and would reach nobody
        raise RuntimeError(f"{type(error).__name__}: {first_line(error)}") from None
