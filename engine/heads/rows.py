"""Features of one side of a split, in memory or read from the cache again at each pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cache.commandline.printable import printable
from cache.failures import Failure
from cache.index import Index

# Neighbours on disk that are read together: large enough that a block of the cache (1 MiB) is
# seldom read for a few rows, small enough that many such runs are mixed in one block of rows.
_RUN_BYTES = 8 * 2**20

# Rows whose finiteness is checked at a time: a small temporary array.
_CHECKED = 1024

# Images that a message names.
_NAMED = 3


class FeatureRows(Protocol):
    """Features with their labels, handed out block by block."""

    @property
    def labels(self) -> np.ndarray:
        """The classes, int64 (N,)."""

    @property
    def dimension(self) -> int:
        """Floats a feature."""

    def blocks(
        self, rng: np.random.Generator | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (positions int (M,), features float32 (M, D)): each row once.

        The features are overwritten by the next block's. rng: shuffles which rows share a block
        and the order of blocks, but not the rows inside one.
        """

    def first(self, size: int) -> "LoadedRows":
        """Return the first rows, up to `size` bytes, in memory: at least one.

        A random sample of a side: its order is that of the digests, which have no meaning.
        """


@dataclass(frozen=True)
class LoadedRows:
    """Rows in memory: features float32 (N, D), labels int64 (N,). One block."""

    features: np.ndarray
    labels: np.ndarray

    @property
    def dimension(self) -> int:
        """Floats a feature."""
        return int(self.features.shape[1])

    def blocks(
        self, rng: np.random.Generator | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield all rows at once, see FeatureRows."""
        del rng  # with one block there is nothing to shuffle
        yield np.arange(len(self.labels)), self.features

    def first(self, size: int) -> "LoadedRows":
        """Return the first rows, see FeatureRows."""
        count = max(1, size // (4 * self.dimension))
        return LoadedRows(self.features[:count], self.labels[:count])


@dataclass(frozen=True)
class StoredRows:
    """Rows in the cache, read at each pass in about the order in which they lie on disk.

    index: where they are. digests: uint8 (N, 32). labels: int64 (N,). paths: N names, for
    messages. block: how many rows are in memory at a time.
    """

    index: Index
    digests: np.ndarray
    labels: np.ndarray
    paths: Sequence[str]
    block: int

    @property
    def dimension(self) -> int:
        """Floats a feature."""
        return self.index.dimension

    def blocks(
        self, rng: np.random.Generator | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield blocks of rows, see FeatureRows. Failure if a feature is not finite."""
        order = self.index.disk_order(self.digests)
        run = max(1, min(self.block, _RUN_BYTES // (4 * self.dimension)))
        runs = [order[start : start + run] for start in range(0, len(order), run)]
        if rng is not None:
            order = np.concatenate([runs[number] for number in rng.permutation(len(runs))])
        buffer = np.empty((min(self.block, len(order)), self.dimension), np.float32)
        for start in range(0, len(order), self.block):
            positions = order[start : start + self.block]
            features = buffer[: len(positions)]
            self.index.read(self.digests[positions], out=features)
            _check_finite(features, [self.paths[position] for position in positions])
            yield positions, features

    def first(self, size: int) -> LoadedRows:
        """Return the first rows, see FeatureRows. Failure if a feature is not finite."""
        count = max(1, size // (4 * self.dimension))
        labels, paths = self.labels[:count], self.paths[:count]
        return StoredRows(self.index, self.digests[:count], labels, paths, self.block).load()

    def load(self) -> LoadedRows:
        """Read all rows into memory, in their order. Failure if a feature is not finite."""
        features = self.index.read(self.digests)
        _check_finite(features, self.paths)
        return LoadedRows(features, self.labels)


def _check_finite(features: np.ndarray, paths: Sequence[str]) -> None:
    """Raise Failure where features are not finite: extractions of earlier releases kept such."""
    wrong = list[str]()
    for start in range(0, len(features), _CHECKED):
        block = features[start : start + _CHECKED]
        if not np.isfinite(block).all():
            rows = start + np.flatnonzero(~np.isfinite(block).all(axis=1))
            wrong += [paths[row] for row in rows.tolist()]
    if wrong:
        more = f" and {len(wrong) - _NAMED:,} more" if len(wrong) > _NAMED else ""
        raise Failure(
            f"the features of {', '.join(map(printable, wrong[:_NAMED]))}{more} are not finite "
            "(NaN or infinity), and an earlier release kept them: verify the cache, which sets "
            "them aside, and extract the source again, which rejects such images"
        )
