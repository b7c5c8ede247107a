"""What became of the samples of a pass on a cluster, counted as their rows come back."""

from collections.abc import Sequence

from cache.rows import Row
from cache.store import DatasetWriter
from engine.runner.tally import Tally


class Outcome:
    """What became of samples, as their rows come back, in whatever order.

    cached: which features were there before. Digests that came already are duplicates.
    """

    def __init__(self, table: DatasetWriter, tally: Tally) -> None:
        self._table, self._tally = table, tally
        self._seen: set[bytes] = set()

    def add(self, rows: Sequence[Row], tally: Tally | None = None) -> None:
        """Write rows. tally: of the worker; None for rows that the cache had."""
        counts, fresh = self._tally, set[bytes]()
        for row in rows:
            if row.status == "rejected":
                counts.rejected.append((row.path, row.reason))
            elif row.digest in self._seen:
                counts.duplicates += 1
            else:
                self._seen.add(row.digest)
                fresh.add(row.digest)
        computed = 0 if tally is None else min(tally.computed, len(fresh))
        counts.computed += computed
        counts.hits += len(fresh) - computed
        if tally is not None:
            for stage in ("read", "decode", "infer", "write"):
                setattr(counts, stage, getattr(counts, stage) + getattr(tally, stage))
        if rows:
            self._table.append(rows)
