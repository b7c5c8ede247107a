"""The bytes of a sample with their digest, and whether its file will be known by its stat."""

import time
from hashlib import sha256
from typing import NamedTuple

from cache.rows import Stat
from engine.sources.base import Sample, Source, Unreadable
from engine.sources.file_stats import is_settled


class FileBytes(NamedTuple):
    """The bytes of a sample.

    data, digest: and their SHA-256; empty where they cannot be had, for the `reason`.
    stat: of its file, where one that says the same again holds the same bytes; else None.
    seconds: what it took.
    """

    sample: Sample
    data: bytes
    digest: bytes
    reason: str
    stat: Stat | None
    seconds: float


def read(source: Source, sample: Sample) -> bytes | Unreadable:
    """Return the bytes of a sample, or why they cannot be had."""
    try:
        return source.read(sample)
    except Unreadable as unreadable:
        return unreadable


def read_with_digest(
    source: Source, sample: Sample, data: bytes | Unreadable | None = None
) -> FileBytes:
    """Return the bytes of a sample with their digest. data: where they were read before."""
    started, begun = time.perf_counter(), time.time_ns()
    before = source.stat(sample)
    if data is None:
        data = read(source, sample)
    if isinstance(data, Unreadable):
        return FileBytes(sample, b"", b"", data.reason, None, time.perf_counter() - started)
    digest = sha256(data).digest()
    # What changed while it was read, or just before, may be other bytes than those read.
    settled = before is not None and is_settled(before, begun)
    stat = before if settled and source.stat(sample) == before else None
    return FileBytes(sample, data, digest, "", stat, time.perf_counter() - started)
