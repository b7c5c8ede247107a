"""The rows of a dataset: one for each sample, with its path, label, digest, status and reason."""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

STATUSES = ("cached", "rejected")

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")

SPLITS = (None, "train", "validation", "test")


class Stat(NamedTuple):
    """What a folder says about a file that holds still as long as the file's bytes do.

    size: in bytes. modified, changed: times in nanoseconds. number: the file's own (inode).
    """

    size: int
    modified: int
    changed: int
    number: int


def stat_of(status: os.stat_result) -> Stat:
    """Return what is kept of a file's status."""
    number = status.st_ino & (2**63 - 1)  # the widest of some file systems have 128 bits
    return Stat(status.st_size, status.st_mtime_ns, status.st_ctime_ns, number)


@dataclass(frozen=True, slots=True)
class Row:
    """One sample.

    digest: 32 bytes, or none where the sample's bytes could not be read.
    status: `cached`, or `rejected` with a reason.
    split: which of SPLITS its source puts it in.
    stat: of its file, where a file that says the same again holds the same bytes; else None.
    """

    path: str
    label: str | None
    digest: bytes
    status: str
    reason: str = ""
    split: str | None = None
    stat: Stat | None = None


def class_order(labels: Collection[str]) -> tuple[str, ...]:
    """Return labels sorted: in numeric order where all are whole numbers."""
    if all(_WHOLE_NUMBER.fullmatch(label) for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


def overlay(segments: Iterable[Sequence[Row]]) -> Iterator[Row]:
    """Yield the rows of segments, a later one's instead of an earlier one's of the same path."""
    rows: dict[str, Row] = {}
    for segment in segments:
        rows.update((row.path, row) for row in segment)
    yield from rows.values()
