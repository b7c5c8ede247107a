"""Which files are still as they were when their digests were taken."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import xxhash

from cache.row_files import encoded_texts
from cache.rows import STATUSES, Stat


class KnownFiles:
    """The cached files of a dataset that have a `stat`, in 72 bytes of memory each.

    Never changes; any threads may use it. A file goes by the XXH3-64 of its path: two paths of
    one hash would still have to agree in file number and times to be taken for each other.
    """

    def __init__(self, segments: Iterable[Mapping[str, np.ndarray]]) -> None:
        """segments: the columns of the dataset's, oldest first; a later one's row counts."""
        keys = [np.empty(0, np.uint64)]
        stats = [np.empty((0, 4), np.int64)]
        digests = [np.empty((0, 32), np.uint8)]
        for columns in segments:
            paths = encoded_texts(columns, "paths")
            keys.append(np.fromiter(map(xxhash.xxh3_64_intdigest, paths), np.uint64))
            cached = columns["status"] == STATUSES.index("cached")
            stats.append(np.where(cached[:, None], columns["stat"], -1))
            digests.append(columns["digest"])
        joined = np.concatenate(keys)
        order = np.argsort(joined, kind="stable")
        last = np.ones(len(order), bool)
        last[:-1] = joined[order][1:] != joined[order][:-1]
        order = order[last]
        order = order[np.concatenate(stats)[order, 0] >= 0]
        self._keys = joined[order]
        self._stats = np.concatenate(stats)[order]
        self._digests = np.concatenate(digests)[order]

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
        same = (self._keys[places] == keys) & (self._stats[places] == stats).all(axis=1)
        return [
            self._digests[place].tobytes() if known else None
            for place, known in zip(places.tolist(), same.tolist(), strict=True)
        ]
