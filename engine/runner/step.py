"""The step of an extraction: loaded images -> batches -> features -> a part, then its rows.

Local threads run it, and so may anybody else who has a source, a space and a backbone.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from cache.rows import SPLITS, Row
from cache.store import Space
from engine.backbones.backbone import Backbone
from engine.runner.tally import Tally
from engine.sources.load import LoadedSample

# A part is written when it holds this many bytes of features, or after this many seconds:
# what a kill can cost, against the number of files.
PART_BYTES = 32 * 2**20
PART_SECONDS = 2.0

# And after this many rows: those of known files come quickly, and each is objects until then.
PART_ROWS = 2**14

# Samples without a new image among them that go on together.
_ROWS = 256

# Why an image is rejected whose feature is no number.
NOT_FINITE = "the backbone gives a feature for it that is not finite (NaN or infinity)"


@dataclass
class Batch:
    """New images to run together, and the rows of all samples met while they were collected.

    So the row of a duplicate never becomes durable before the feature that it stands for.

    digests: of the new images, 32 bytes each. pixels: theirs, uint8 (H, W, 3).
    rows: of all samples. hits: how many of them the cache had.
    """

    digests: list[bytes] = field(default_factory=list)
    pixels: list[np.ndarray] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    hits: int = 0


@dataclass(frozen=True)
class Computed:
    """A batch that was run.

    features: float32 (N, D) of its N new images. seconds: what the backbone took.
    """

    batch: Batch
    features: np.ndarray
    seconds: float


def collect(loaded: Iterable[LoadedSample], batch_size: int, tally: Tally) -> Iterator[Batch]:
    """Yield batches of `batch_size` new images, or of many rows where few images are new."""
    batch, seen = Batch(), set()
    for item in loaded:
        if len(batch.pixels) == batch_size or len(batch.rows) == _ROWS:
            yield batch
            batch = Batch()
        tally.read += item.read_seconds
        tally.decode += item.decode_seconds
        status = "rejected" if item.reason else "cached"
        sample = item.sample
        # What a source calls a split and is none of ours has no place in a row.
        split = sample.split if sample.split in SPLITS else None
        row = Row(sample.path, sample.label, item.digest, status, item.reason, split, item.stat)
        batch.rows.append(row)
        if item.reason or item.digest in seen:
            continue
        seen.add(item.digest)
        if item.pixels is None:
            batch.hits += 1
        else:
            batch.digests.append(item.digest)
            batch.pixels.append(item.pixels)
    yield batch


def compute(backbone: Backbone, batch: Batch) -> Computed:
    """Run a batch that has new images; their pixels are let go."""
    pixels = np.stack(batch.pixels)
    batch.pixels.clear()
    started = time.perf_counter()
    features = backbone.features(pixels)
    return Computed(batch, features, time.perf_counter() - started)


class RowTable(Protocol):
    """Where rows go once the features that they stand for are durable: a `DatasetWriter`."""

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows."""


class PartWriter:
    """Writes features part by part, each part's rows after it. One thread's.

    What is not finite is no feature: its image is rejected, and so are its duplicates.
    """

    def __init__(
        self, space: Space, table: RowTable, tally: Tally, seconds: float | None = None
    ) -> None:
        """seconds: after how many a part is written; None for PART_SECONDS."""
        self._space, self._table, self._tally = space, table, tally
        self._seconds = PART_SECONDS if seconds is None else seconds
        self._digests: list[bytes] = []
        self._features: list[np.ndarray] = []
        self._rows: list[Row] = []
        self._unusable: set[bytes] = set()
        self._begun = time.monotonic()

    def add(self, computed: Computed) -> None:
        """Take a batch, and write a part where one is due."""
        batch, features = computed.batch, computed.features
        self._tally.infer += computed.seconds
        usable = np.isfinite(features).all(axis=1)
        digests = batch.digests
        if not usable.all():
            self._unusable.update(d for d, good in zip(digests, usable, strict=True) if not good)
            digests = [d for d, good in zip(digests, usable, strict=True) if good]
            features = features[usable]
        rows = [self._judged(row) for row in batch.rows] if self._unusable else batch.rows
        rejected = [(row.path, row.reason) for row in rows if row.status == "rejected"]
        self._tally.rejected += rejected
        self._tally.computed += len(digests)
        self._tally.hits += batch.hits
        self._tally.duplicates += len(rows) - len(rejected) - len(digests) - batch.hits
        self._rows += rows
        if digests:
            self._digests += digests
            self._features.append(features)
        size = 4 * self._space.dimension * len(self._digests)
        due = size >= PART_BYTES or len(self._rows) >= PART_ROWS
        if due or time.monotonic() - self._begun >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Write what is in memory. OSError if it could not be written."""
        started = time.perf_counter()
        if self._digests:
            keys = np.frombuffer(b"".join(self._digests), np.uint8).reshape(-1, 32)
            self._space.append(keys, np.concatenate(self._features))
        if self._rows:
            self._table.append(self._rows)
        for filled in (self._digests, self._features, self._rows):
            filled.clear()
        self._tally.write += time.perf_counter() - started
        self._begun = time.monotonic()

    def _judged(self, row: Row) -> Row:
        if row.digest in self._unusable and row.status == "cached":
            return replace(row, status="rejected", reason=NOT_FINITE)
        return row
