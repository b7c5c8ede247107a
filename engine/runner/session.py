"""What one process of a cluster does: some samples of a source into the shared cache.

It knows no scheduler.
"""

import contextlib
import pickle
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cache.failures import Failure
from cache.files import Damaged
from cache.index import Index
from cache.part import Part, open_part
from cache.rows import Row
from cache.store import FeatureCache, Space
from engine.backbones.backbone import Backbone
from engine.graphs.session import BATCH_SIZE, available_cores
from engine.runner.kind import this_kind
from engine.runner.step import PartWriter, collect
from engine.runner.tally import Tally
from engine.runner.task import Job, Report
from engine.runner.threads import run_batches
from engine.sources.base import Sample, Source
from engine.sources.load import Loader
from engine.sources.open import open_source

# A task's features are one part, unless they are more than one holds or take so many seconds.
_PART_SECONDS = 60.0

# Images that are decoded ahead of the backbone by a task.
_AHEAD = 32


class Session:
    """One process's share in a job: the loaded backbone, the open source, what the cache holds.

    Any threads may run tasks in it at once; as many run as there are cores, the others wait.
    """

    def __init__(self, job: Job) -> None:
        """Open what the job names. Failure if it cannot be run here exactly, or not at all."""
        self.job, self.kind = job, this_kind()
        differ = [
            f"{name} {self.kind.packages[name]} (not {wanted})"
            for name, wanted in job.kind.packages.items()
            if self.kind.packages[name] != wanted
        ]
        if differ:
            raise Failure(f"it has {', '.join(differ)}; install the same versions everywhere")
        self.space = _opened_space(job)
        self.source = _opened_source(job)
        if not job.model.path.is_file():
            raise Failure(
                f"it does not see the model {job.model.path}; let ONCEOVER_MODELS name a folder "
                "that all workers share"
            )
        self.backbone = Backbone(job.model)
        self._turns = threading.BoundedSemaphore(available_cores())
        self._lock = threading.Lock()
        self._parts: dict[Path, Part | None] = {}
        self._index: Index | None = None
        self._under_way: set[threading.Event] = set()
        self._stopped = False

    def run(self, samples: Sequence[Sample], worker: str) -> Report:
        """Bring the features of samples into the cache."""
        halt = threading.Event()
        with self._turns, self._stoppable(halt), ThreadPoolExecutor(1, "extract") as pool:
            started = time.perf_counter()
            tally, table, space = Tally(), _Rows(), self.space
            size = (space.description["height"], space.description["width"])
            loader = Loader(self.source, self._cached(), size, self.job.framing)
            loaded = loader.load(samples, pool, _AHEAD, halt)
            writer = PartWriter(space, table, tally, seconds=_PART_SECONDS)
            batches = collect(loaded, self.job.batch_size or BATCH_SIZE, tally)
            for computed in run_batches(batches, lambda: self.backbone, pool, 2):
                writer.add(computed)
            writer.flush()
        if len(table.rows) < len(samples) and not self._stopped:
            return Report(worker, self.kind.processor, refused=f"{self.source.location} is gone")
        seconds = time.perf_counter() - started
        return Report(worker, self.kind.processor, table.rows, tally, seconds=seconds)

    def stop(self) -> None:
        """Have all tasks end soon: what they have begun is finished and kept, the rest is left."""
        with self._lock:
            self._stopped = True
            for halt in self._under_way:
                halt.set()

    @contextlib.contextmanager
    def _stoppable(self, halt: threading.Event) -> Iterator[None]:
        with self._lock:
            self._under_way.add(halt)
            if self._stopped:
                halt.set()
        try:
            yield
        finally:
            with self._lock:
                self._under_way.discard(halt)

    def _cached(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return what tells which features the cache holds now.

        A task may have been run by a worker that died, in part or wholly. Parts never change, so
        only new ones are read.
        """
        with self._lock:
            paths = set(self.space.part_paths())
            if self._index is None or paths != self._parts.keys():
                self._parts = {path: self._part(path) for path in paths}
                parts = [part for part in self._parts.values() if part is not None]
                self._index = Index(parts, self.space.dimension, self.space.index)
            return self._index.contains

    def _part(self, path: Path) -> Part | None:
        """Return a part that is known already, or as it is; None for one that is not sound."""
        if part := self._parts.get(path):
            return part
        with contextlib.suppress(Damaged, FileNotFoundError):  # its images are computed anew
            return open_part(path, self.space.id, self.space.dimension)
        return None


class _Rows:
    """Rows of a task, where a `DatasetWriter` would write them: the client does."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def append(self, rows: Iterable[Row]) -> None:
        self.rows += rows


def _opened_space(job: Job) -> Space:
    try:
        return FeatureCache.open(job.cache).space(job.space)
    except Failure as failure:
        raise Failure(f"it does not see the cache as the others do: {failure}") from failure


def _opened_source(job: Job) -> Source:
    source = open_source(job.location, job.options) if job.source is None else None
    if source is None and job.source is not None:
        source = pickle.loads(job.source)  # noqa: S301 - of the client that sends the code, too
    if source is None or not source.location.exists():
        raise Failure(f"it does not see the source {job.location}; put it where all workers see it")
    return source
