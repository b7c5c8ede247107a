"""The pass over a source: read, digest, look up, decode, run the backbone, keep the features."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from cache.commandline.printable import printable
from cache.failures import Failure, Interrupted
from cache.rows import Row
from cache.store import DatasetWriter, Space
from engine.backbones.backbone import Backbone
from engine.process.progress import Progress
from engine.process.stop import stop_request
from engine.sources.load import Loaded, Loader
from engine.sources.open import Sample, Source

# A part is written when it holds this many bytes of features, or after this many seconds:
# what a kill can cost, against the number of files.
PART_BYTES = 32 * 2**20
PART_SECONDS = 2.0

# Images that are decoded ahead, at least: so many that no core waits while the backbone loads.
_AHEAD = 128

# Samples without a new image among them that go on together.
_ROWS = 256


@dataclass
class Tally:
    """What became of the samples; computed + hits + duplicates + len(rejected) in all.

    duplicates: samples whose bytes occurred earlier in the same pass.
    rejected: (path, reason) of each sample that gives no feature.
    read, decode, infer, write: seconds of work, added up over the threads.
    """

    computed: int = 0
    hits: int = 0
    duplicates: int = 0
    rejected: list[tuple[str, str]] = field(default_factory=list)
    read: float = 0.0
    decode: float = 0.0
    infer: float = 0.0
    write: float = 0.0

    @property
    def done(self) -> int:
        """How many samples came through."""
        return self.computed + self.hits + self.duplicates + len(self.rejected)


@dataclass
class _Batch:
    """New images to run together, and the rows of all samples met while they were collected.

    So the row of a duplicate never becomes durable before the feature that it stands for.
    """

    digests: list[bytes] = field(default_factory=list)
    pixels: list[np.ndarray] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class _Computed:
    """A batch's rows, digests and features, float32 (N, D)."""

    rows: list[Row]
    digests: list[bytes]
    features: np.ndarray | None


def run_pass(
    source: Source,
    samples: Sequence[Sample],
    space: Space,
    load_backbone: Callable[[], Backbone],
    *,
    dataset: str,
    interpolation: str,
    batch_size: int,
    threads: int,
    progress: Progress,
    say: Callable[[str], None],
) -> Tally:
    """Bring the features of `samples` into a feature space, in their order.

    One pool of threads decodes images and runs batches, whichever is due, so that no core waits
    while there is work of either kind; each run of the backbone is one thread's. _AHEAD images or
    a few batches for each thread are under way at any time, and a part in memory: nothing grows
    with the source.

    load_backbone: called when the first image needs it.
    dataset: the name that the rows go under.

    Raises:
        Interrupted: at Ctrl-C, when what was under way is finished and kept.
        Failure: the source has vanished meanwhile; the same holds.
        OSError: the cache could not be written; finished parts are kept.
    """
    tally = Tally()
    size = (space.description["height"], space.description["width"])
    loader = Loader(source, space.index().contains, size, interpolation)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="extract")
    try:
        with stop_request(say) as stop:
            table = space.write_dataset(dataset)
            ahead = max(_AHEAD, 2 * threads * batch_size)
            loaded = loader.load(samples, pool, ahead, stop)
            batches = _collect(loaded, batch_size, tally)
            computed = _compute(batches, load_backbone, pool, threads + 1, tally)
            _keep(computed, space, table, progress, tally)
            if tally.done < len(samples):
                kept = f"{tally.done} of {len(samples)} images are done and kept"
                if not source.location.exists():
                    raise Failure(
                        f"{printable(str(source.location))} is gone; {kept}, "
                        "bring it back and run the same command again to go on"
                    )
                raise Interrupted(f"stopped; {kept}, run the same command again to go on")
            table.finish()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return tally


def _collect(loaded: Iterable[Loaded], batch_size: int, tally: Tally) -> Iterator[_Batch]:
    """Yield batches of `batch_size` new images, or of many rows where few images are new."""
    batch, seen = _Batch(), set()
    for item in loaded:
        if len(batch.pixels) == batch_size or len(batch.rows) == _ROWS:
            yield batch
            batch = _Batch()
        tally.read += item.read_seconds
        tally.decode += item.decode_seconds
        path, label = item.sample.path, item.sample.label
        status = "rejected" if item.reason else "cached"
        batch.rows.append(Row(path, label, item.digest, status, item.reason))
        if item.reason:
            tally.rejected.append((path, item.reason))
            continue
        if item.digest in seen:
            tally.duplicates += 1
            continue
        seen.add(item.digest)
        if item.pixels is None:
            tally.hits += 1
            continue
        tally.computed += 1
        batch.digests.append(item.digest)
        batch.pixels.append(item.pixels)
    yield batch


def _compute(
    batches: Iterable[_Batch],
    load_backbone: Callable[[], Backbone],
    pool: ThreadPoolExecutor,
    ahead: int,
    tally: Tally,
) -> Iterator[_Computed]:
    """Run batches in `pool`, up to `ahead` at a time; yield their features in order."""
    backbone: Backbone | None = None
    under_way: deque[tuple[_Batch, Future[tuple[np.ndarray, float]] | None]] = deque()

    def oldest() -> _Computed:
        batch, future = under_way.popleft()
        if future is None:
            return _Computed(batch.rows, [], None)
        features, seconds = future.result()
        tally.infer += seconds
        return _Computed(batch.rows, batch.digests, features)

    for batch in batches:
        if batch.pixels:
            backbone = backbone or load_backbone()
            under_way.append((batch, pool.submit(_timed_run, backbone, np.stack(batch.pixels))))
            batch.pixels.clear()
        else:
            under_way.append((batch, None))
        if len(under_way) > ahead:
            yield oldest()
    while under_way:
        yield oldest()


def _timed_run(backbone: Backbone, pixels: np.ndarray) -> tuple[np.ndarray, float]:
    started = time.perf_counter()
    features = backbone.features(pixels)
    return features, time.perf_counter() - started


def _keep(
    computed: Iterable[_Computed],
    space: Space,
    table: DatasetWriter,
    progress: Progress,
    tally: Tally,
) -> None:
    """Write features part by part, each part's rows after it."""
    digests: list[bytes] = []
    features: list[np.ndarray] = []
    rows: list[Row] = []
    begun = time.monotonic()

    def write() -> None:
        nonlocal begun
        started = time.perf_counter()
        if digests:
            keys = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
            space.append(keys, np.concatenate(features))
        if rows:
            table.append(rows)
        for filled in (digests, features, rows):
            filled.clear()
        tally.write += time.perf_counter() - started
        begun = time.monotonic()

    for item in computed:
        rows += item.rows
        if item.features is not None:
            digests += item.digests
            features.append(item.features)
        progress.advance(len(item.rows))
        size = len(digests) * 4 * space.dimension
        if size >= PART_BYTES or time.monotonic() - begun >= PART_SECONDS:
            write()
    write()
