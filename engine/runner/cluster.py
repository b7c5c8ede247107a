"""The pass over a source on a Dask cluster: who runs which samples, and what if a worker dies."""

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cache.commandline.printable import printable
from cache.failures import Failure, Interrupted, first_line
from cache.rows import Row
from cache.store import DatasetWriter, Space
from engine.images.framing import Framing
from engine.precision.choice import Choice
from engine.process.execution import Execution
from engine.runner.connection import connect
from engine.runner.kind import this_kind
from engine.runner.outcome import Outcome
from engine.runner.processors import Processors
from engine.runner.retry import after_death, after_reading
from engine.runner.step import collect
from engine.runner.survey import Survey
from engine.runner.tally import Tally
from engine.runner.task import Job, portable_source
from engine.runner.task_size import TaskSize
from engine.runner.tasks import Task, Tasks, failed
from engine.sources.base import Sample
from engine.sources.load import LoadedSample, Loader, none_known

if TYPE_CHECKING:
    from distributed import Future

_log = logging.getLogger(__name__)

# Rows of samples that need not be read, written at once.
_ROWS = 1024

# Tasks that are with the scheduler, for each thread: one runs, one waits.
_AHEAD = 2

# Seconds without any worker after which the job ends.
_PATIENCE = 60

# Why an image is rejected that no worker survives.
KILLED = "the worker that decodes it dies, each time, also with nothing else to do"


def run_on_cluster(
    survey: Survey, choice: Choice, cache: Path, framing: Framing, execution: Execution
) -> Tally:
    """Bring the features of a survey's samples into a space, on the workers of a cluster.

    They need the same view of cache, source and exported model. Each writes its own parts; rows
    are written here, after the features that they stand for, as in `run_pass`.

    Raises:
        Interrupted: `execution.stop` was set; what was under way is finished and kept.
        Failure: the cluster cannot be used, or has gone; finished tasks are kept.
        OSError: the cache could not be written.
    """
    if survey.source.sequential:
        raise Failure(
            f"{printable(survey.location)} can only be read in its own order, by one process; "
            "unpack it first, or run on this machine"
        )
    assert execution.cluster is not None
    if execution.threads is not None:
        _log.warning("the number of threads is each worker's own here: as many as it has")
    space, tally = choice.space, Tally()
    with connect(execution.cluster) as client:
        # From here on gc leaves what the space holds, so what it holds is looked up after this.
        share, origin = survey.selection.share, survey.origin
        table = space.write_dataset(survey.dataset, adds=survey.adds, share=share, origin=origin)
        job = Job(
            uuid.uuid4().hex,
            str(cache.resolve()),
            space.id,
            replace(choice.model, path=choice.model.path.resolve()),
            framing,
            survey.place,
            survey.options,
            portable_source(survey.source),
            this_kind(),
            execution.batch_size,
        )
        run = _Run(survey, space, table, execution)
        tasks = Tasks(client, job)
        run.bring(survey.samples, tasks, tally)
        while lost := table.lost(space.index().contains):
            again = Tally()
            run.bring([s for s in survey.samples if s.path in lost], tasks, again)
            tally.add_again(again)
        table.finish()
    return tally


class _Run:
    """One extraction on a cluster, from the samples to their rows."""

    def __init__(
        self, survey: Survey, space: Space, table: DatasetWriter, execution: Execution
    ) -> None:
        self._survey, self._space, self._table = survey, space, table
        self._execution = execution
        self._stop = execution.stop or threading.Event()
        self._processors = Processors(space, this_kind().packages)
        self._size = TaskSize()

    def bring(self, samples: Sequence[Sample], tasks: Tasks, tally: Tally) -> None:
        """Have samples run, but for those that need not be read again."""
        outcome = Outcome(self._table, tally, self._survey.source)
        total = len(self._survey.samples)
        waiting = self._waiting(samples, tasks, outcome)
        alone, again = list[Task](), deque[Task]()

        def tell() -> None:
            self._execution.progress(total - len(samples) + tally.done, total)

        seen = time.monotonic()
        while True:
            if self._stop.is_set():
                tasks.stop()
            threads = sum(tasks.workers().values())
            seen = time.monotonic() if threads else seen
            if time.monotonic() - seen > _PATIENCE:
                raise Failure(
                    "the cluster has no worker any more; finished work is kept, start some and "
                    "run the same command to go on"
                )
            room = _AHEAD * threads or 1
            while len(tasks) < room and not self._stop.is_set():
                task = again.popleft() if again else next(waiting, None)
                if task is None and alone and not len(tasks):
                    task = alone.pop()
                    room = 1  # nothing beside it: whoever dies now died of it
                if task is None:
                    break
                tasks.submit(task)
            if not len(tasks):
                break
            if ended := tasks.ended():
                for task in self._judged(*ended, tasks, outcome):
                    (alone if len(task.samples) == 1 and task.deaths else again).append(task)
                tell()
        tell()
        if tally.done < len(samples):
            raise Interrupted(
                f"stopped; {tally.done:,} of {len(samples):,} images are done and kept, run the "
                "same command again to go on"
            )

    def _waiting(self, samples: Sequence[Sample], tasks: Tasks, outcome: Outcome) -> Iterator[Task]:
        """Yield tasks of the samples that must be read; the rows of the others are written."""
        survey, space = self._survey, self._space
        share = survey.selection.share
        known = space.known_files(survey.dataset, share).digests
        loader = Loader(
            survey.source,
            space.index().contains,
            (1, 1),
            Framing(),
            none_known if self._execution.rehash else known,
        )
        left = len(samples)
        size = self._size.next(sum(tasks.workers().values()), left)
        chunk: list[Sample] = []
        held: list[LoadedSample] = []
        for item in loader.plan(samples):
            left -= 1
            if isinstance(item, LoadedSample):
                held.append(item)
            else:
                chunk.append(item)
            if len(held) == _ROWS:
                outcome.add(_rows(held))
                held.clear()
            if len(chunk) >= size:
                yield Task(tuple(chunk))
                chunk.clear()
                size = self._size.next(sum(tasks.workers().values()), left)
        outcome.add(_rows(held))
        if chunk:
            yield Task(tuple(chunk))

    def _judged(self, future: "Future", task: Task, tasks: Tasks, outcome: Outcome) -> list[Task]:
        """Write what a task gave; return what is to be sent once more."""
        from distributed import KilledWorker

        if future.status == "finished":
            report = tasks.report(future)
            self._processors.add(report)
            if report.refused:
                if report.worker not in tasks.refused:
                    tasks.refused[report.worker] = report.refused
                    _log.warning("worker %s is left out: %s", report.worker, report.refused)
                return [task]
            self._size.add(report.rows, report.seconds)
            rows, again = after_reading(report, task, len(tasks.workers()))
            outcome.add(rows, report.tally)
            return again
        error = future.exception() if future.status == "error" else None
        if isinstance(error, KilledWorker):
            if not (again := after_death(task)):
                (sample,) = task.samples
                _log.warning("%s kills each worker that runs it", printable(sample.path))
                outcome.add([Row(sample.path, sample.label, b"", "rejected", KILLED)])
            return again
        if isinstance(error, OSError | MemoryError | Failure):
            raise error
        reason = first_line(error) if error else "the scheduler has gone"
        raise Failure(failed(reason))


def _rows(loaded: Sequence[LoadedSample]) -> list[Row]:
    """Return the rows of samples that the cache has."""
    return [row for batch in collect(loaded, 1, Tally()) for row in batch.rows]
