"""Look-up of digests over all parts of a feature space."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from cache.failures import Failure
from cache.files import Damaged
from cache.part import Part, set_aside

# How often a read begins anew because another process compacted the parts meanwhile.
_ATTEMPTS = 5

# Digests that are looked up at a time.
_LOOKED_UP = 2**16


class Index:
    """A snapshot of the features that a space holds. Never changes; any threads may use it.

    Where another process has compacted the parts since, reading goes on with the new ones.
    dimension: floats a feature.
    """

    def __init__(
        self, parts: Sequence[Part], dimension: int, refresh: "Callable[[], Index]"
    ) -> None:
        """Index parts whose digests were read. refresh: gives a newer snapshot."""
        # Of equal digests the first is read. While small parts are compacted that is the new
        # part's, which stays; those beside it may go at any moment.
        parts = sorted(parts, key=lambda part: -len(part.digests))
        self._parts = parts
        self._refresh = refresh
        self.dimension = dimension
        empty = np.empty((0, 32), np.uint8)
        digests = np.concatenate([empty, *(part.digests for part in parts)])
        part = np.repeat(np.arange(len(parts)), [len(p.digests) for p in parts])
        row = np.concatenate([np.empty(0, int), *(np.arange(len(p.digests)) for p in parts)])
        prefixes = _prefix(digests)
        order = np.argsort(prefixes, kind="stable")
        if (np.diff(prefixes[order]) == 0).any():
            # Equal digests must lie side by side, also among others that begin like them.
            order = np.lexsort(digests.view("<u8").T[::-1])
        self._digests, self._part, self._row = digests[order], part[order], row[order]
        self._prefixes = _prefix(self._digests)

    def __len__(self) -> int:
        """Return how many rows there are; a digest in two parts counts twice."""
        return len(self._digests)

    def _find(self, digests: np.ndarray) -> np.ndarray:
        """Return each digest's place in the sorted arrays, -1 where it is not there."""
        digests = np.ascontiguousarray(digests, np.uint8).reshape(-1, 32)
        found = np.empty(len(digests), np.int64)
        for start in range(0, len(digests), _LOOKED_UP):  # what a block needs is 120 bytes each
            block = slice(start, start + _LOOKED_UP)
            found[block] = self._find_block(digests[block])
        return found

    def _find_block(self, digests: np.ndarray) -> np.ndarray:
        prefixes = _prefix(digests)
        place = np.searchsorted(self._prefixes, prefixes)
        found = np.full(len(digests), -1)
        open_ = np.arange(len(digests))
        while len(open_):
            # Digests that agree in 8 bytes lie side by side; look on while they do.
            inside = place[open_] < len(self._prefixes)
            open_ = open_[inside]
            open_ = open_[self._prefixes[place[open_]] == prefixes[open_]]
            same = (self._digests[place[open_]] == digests[open_]).all(axis=1)
            found[open_[same]] = place[open_[same]]
            open_ = open_[~same]
            place[open_] += 1
        return found

    def contains(self, digests: np.ndarray) -> np.ndarray:
        """Return for each digest, uint8 (N, 32), whether its feature is there: bool (N,)."""
        return self._find(digests) >= 0

    def disk_order(self, digests: np.ndarray) -> np.ndarray:
        """Return the order, int (N,), in which digests, uint8 (N, 32), lie on disk.

        Reading them in that order, some at a time, reads each block of a part about once.

        Raises:
            Failure: one of them is not there.
        """
        places = self._places(digests)
        return np.lexsort((self._row[places], self._part[places]))

    def read(self, digests: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Return the features, float32 (N, D), of digests, uint8 (N, 32), in their order.

        out: where to put them, if given.

        Raises:
            Failure: one of them is not there.
            Damaged: a part is not what was written; it is set aside.
        """
        index = self
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                return index._read(digests, out)
            index = index._refresh()
        return index._read(digests, out)

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (digests uint8 (N, 32), features float32 (N, D)) of all rows in on-disk order.

        The fastest way through a cache that is larger than memory: about 1 MiB at a time, and
        each row once. The arrays are overwritten by the next block's.

        Raises:
            Damaged: a part is not what was written; it is set aside.
            FileNotFoundError: another process compacted the parts meanwhile.
        """
        first = np.ones(len(self._digests), bool)
        first[1:] = (self._digests[1:] != self._digests[:-1]).any(axis=1)
        order = np.lexsort((self._row[first], self._part[first]))
        part_of, row_of = self._part[first][order], self._row[first][order]
        ends = np.searchsorted(part_of, np.arange(len(self._parts)), side="right")
        start = 0
        for part, end in zip(self._parts, ends, strict=True):
            rows = row_of[start:end]
            with _damage_set_aside(part):
                for positions, features in part.read(rows):
                    yield part.digests[rows[positions]], features
            start = end

    def _places(self, digests: np.ndarray) -> np.ndarray:
        """Return each digest's place in the sorted arrays. Failure if one is not there."""
        places = self._find(digests)
        if (places < 0).any():
            raise Failure(
                f"{(places < 0).sum()} of {len(places)} features are not in the cache; "
                "run the extraction again"
            )
        return places

    def _read(self, digests: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        places = self._places(digests)
        if out is None:
            out = np.empty((len(places), self.dimension), np.float32)
        if not len(places):
            return out
        order = np.lexsort((self._row[places], self._part[places]))
        parts = self._part[places][order]
        starts = np.flatnonzero(np.diff(parts, prepend=-1)).tolist()
        for start, end in pairwise([*starts, len(order)]):
            chosen = order[start:end]
            part = self._parts[parts[start]]
            with _damage_set_aside(part):
                for positions, features in part.read(self._row[places[chosen]]):
                    out[chosen[positions]] = features
        return out


@contextlib.contextmanager
def _damage_set_aside(part: Part) -> Iterator[None]:
    """Set a part aside that turns out to be damaged, and say what to do."""
    try:
        yield
    except Damaged as damage:
        with contextlib.suppress(OSError):  # a read-only cache: report it all the same
            set_aside(part.path)
        raise Damaged(f"{damage}; run the extraction again, it computes what is lost") from damage


def _prefix(digests: np.ndarray) -> np.ndarray:
    """Return the first eight bytes of each digest as a number, uint64 (N,)."""
    return np.ascontiguousarray(digests[:, :8]).view("<u8").reshape(-1)
