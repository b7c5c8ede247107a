"""Samples and reports on their way between client and workers: bytes that cost little to make.

Dask looks into each argument, object by object: 28 microseconds an image, which would keep the
client busy before a hundred workers were. Pickled tuples cost it six.
"""

import pickle
from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Any

from cache.rows import Row, Stat
from engine.runner.tally import Tally
from engine.runner.task import Report
from engine.sources.base import Sample


def packed_samples(samples: Sequence[Sample]) -> bytes:
    """Return samples as bytes."""
    return pickle.dumps([(sample.path, sample.label, sample.split) for sample in samples])


def unpacked_samples(data: bytes) -> list[Sample]:
    """Return the samples of `packed_samples`."""
    return [Sample(*fields) for fields in _unpacked(data)]


def packed_report(report: Report) -> bytes:
    """Return a report as bytes."""
    pairs = [
        (
            (row.path, row.label, row.digest, row.status, row.reason, row.split),
            row.stat and tuple(row.stat),
        )
        for row in report.rows
    ]
    bare = replace(report, rows=(), tally=Tally())
    return pickle.dumps((bare, pairs, astuple(report.tally)))


def unpacked_report(data: bytes) -> Report:
    """Return the report of `packed_report`."""
    bare, pairs, tally = _unpacked(data)
    assert isinstance(bare, Report)
    rows = [
        Row(path, label, digest, status, reason, split, Stat(*stat) if stat else None)
        for (path, label, digest, status, reason, split), stat in pairs
    ]
    return replace(bare, rows=rows, tally=Tally(*tally))


def _unpacked(data: bytes) -> Any:
    return pickle.loads(data)  # noqa: S301 - of a peer in the cluster, which sends code as well
