"""What became of the samples of a pass on a cluster, counted as their rows come back."""

from collections.abc import Sequence
from dataclasses import replace

from cache.rows import Row, Stat
from cache.store import DatasetWriter
from engine.runner.tally import Tally
from engine.sources.base import Sample, Source


class Outcome:
    """What became of samples, as their rows come back, in whatever order.

    Digests that came already are duplicates. Of a source on another file system it is the listing
    here that knows the files' stats: workers have none.
    """

    def __init__(self, table: DatasetWriter, tally: Tally, source: Source) -> None:
        self._table, self._tally, self._source = table, tally, source
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
        if rows and self._source.remote:
            rows = [replace(row, stat=self._stat(row)) if row.digest else row for row in rows]
        if rows:
            self._table.append(rows)

    def _stat(self, row: Row) -> Stat | None:
        return self._source.stat(Sample(row.path, row.label))
