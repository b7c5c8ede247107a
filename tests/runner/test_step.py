"""engine.runner.step: when a part and its rows are written."""

import numpy as np

from cache.rows import Row
from cache.store import FeatureCache
from engine.runner import step
from engine.runner.step import Batch, Computed, PartWriter
from engine.runner.tally import Tally


class Table:
    def __init__(self):
        self.counts = []

    def append(self, rows):
        self.counts.append(len(list(rows)))


def test_rows_are_written_before_they_are_many(tmp_path, monkeypatch):
    """Those of known files come quickly, and no feature's bytes say that a part is due."""
    monkeypatch.setattr(step, "PART_ROWS", 100)
    space = FeatureCache.create(tmp_path / "cache").add_space({"backbone": "b"}, 4)
    table, tally = Table(), Tally()
    writer = PartWriter(space, table, tally, seconds=1e9)
    row = Row("a.jpg", "a", bytes(32), "cached")
    for _ in range(5):
        writer.add(Computed(Batch(rows=[row] * 60, hits=60), np.empty((0, 0), np.float32), 0.0))
    assert table.counts == [120, 120]
    writer.flush()
    assert (table.counts, tally.hits) == ([120, 120, 60], 300)
