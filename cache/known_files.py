"""Which files are still as they were when their digests were taken."""

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import xxhash

from cache.row_files import encoded_texts
from cache.rows import STATUSES, Stat


class KnownFiles:
    """The cached files of a dataset that have a `stat`, in 76 bytes of memory each.

    Never changes; any threads may use it. A file goes by the XXH3-64 of its path: two paths of
    one hash would still have to agree in file number and times to be taken for each other.
    """

    def __init__(self, segments: Iterable[dict[str, np.ndarray]]) -> None:
        """segments: the columns of the dataset's, oldest first; a later one's row counts.

        They are emptied on the way: all of them at once would be the most memory of a run.
        """
        keys = [np.empty(0, np.uint64)]
        stats = [np.empty((0, 4), np.int64)]
        digests = [np.empty((0, 32), np.uint8)]
        for columns in segments:
            paths = encoded_texts(columns, "paths")
            keys.append(np.fromiter(map(xxhash.xxh3_64_intdigest, paths), np.uint64))
            stat, digest = columns.pop("stat"), columns.pop("digest")
            stat[columns["status"] != STATUSES.index("cached")] = -1
            columns.clear()
            stats.append(stat)
            digests.append(digest)
            del stat, digest
        joined = _joined(keys)
        order = np.argsort(joined, kind="stable").astype(np.uint32)
        self._keys = joined[order]
        self._stats, self._digests = _joined(stats), _joined(digests)
        known = self._stats[order, 0] >= 0
        known[:-1] &= self._keys[1:] != self._keys[:-1]  # the last of a key counts
        if not known.all():
            order, self._keys = order[known], self._keys[known]
        self._rows = order

    def __len__(self) -> int:
        """Return how many files are known."""
        return len(self._keys)

    def digests(self, paths: Sequence[str], stats: Sequence[Stat]) -> list[bytes | None]:
        """Return the digest of each file that is as it was; None for each that must be read.

        Look up many at a time: that costs little more than one.
        """
        if not len(self) or not paths:
            return [None] * len(paths)
        encoded = (path.encode("utf-8", "surrogatepass") for path in paths)
        keys = np.fromiter(map(xxhash.xxh3_64_intdigest, encoded), np.uint64, len(paths))
        places = np.minimum(np.searchsorted(self._keys, keys), len(self) - 1)
        rows = self._rows[places]
        asked = np.fromiter(chain.from_iterable(stats), np.int64, 4 * len(paths)).reshape(-1, 4)
        same = (self._keys[places] == keys) & (self._stats[rows] == asked).all(axis=1)
        data = self._digests[rows].tobytes()
        return [
            data[32 * number : 32 * number + 32] if known else None
            for number, known in enumerate(same.tolist())
        ]


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    """Return arrays as one; where one alone has rows, that one and no copy. They are let go."""
    filled = [array for array in arrays if len(array)] or arrays[:1]
    arrays.clear()
    return filled[0] if len(filled) == 1 else np.concatenate(filled)
