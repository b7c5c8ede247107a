"""Which samples of a source: a seeded, stratified choice that hangs on the images' bytes alone."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np

from engine.sources.base import Source, Unreadable
from engine.sources.file_bytes import read
from engine.sources.order import by_class
from engine.sources.samples import Samples


def select(
    source: Source, *, fraction: float | None, limit_per_class: int | None, seed: int
) -> Samples:
    """Return a seeded, stratified choice of a source's samples, in their order.

    fraction: of each class, rounded, at least one; above 0, at most 1. None for all.
    limit_per_class: at most so many of each class, after `fraction`; at least 1. None for all.

    A larger fraction or limit only adds to what a smaller one gives: what was computed serves on.
    The choice goes by a hash of each image's size, and where only some of one size are chosen, by
    one of its bytes, for which those are read. So it is the same from a folder, an archive and a
    table, whatever the images are called there, and hardly changes where images are added.
    """
    samples = Samples.of(source.samples)
    if fraction is None and limit_per_class is None:
        return samples
    chosen: list[int] = []
    undecided: list[tuple[int, list[int], str | None]] = []
    for label, places in by_class(samples):
        count = len(places)
        if fraction is not None:
            count = max(1, round(count * fraction))
        if limit_per_class is not None:
            count = min(count, limit_per_class)
        for group in _groups(source, samples, places, f"{seed} {label}"):
            if len(group) <= count:
                chosen += group
                count -= len(group)
                continue
            if count:
                undecided.append((count, group, label))
            break
    digests = _digests(source, samples, (place for _, group, _ in undecided for place in group))
    for count, group, label in undecided:
        ranks = {place: _rank(f"{seed} {label}", digests[place]) for place in group}
        chosen += sorted(group, key=ranks.__getitem__)[:count]
    return samples.taken(np.array(sorted(chosen), np.int64))


def _groups(source: Source, samples: Samples, places: np.ndarray, key: str) -> Iterator[list[int]]:
    """Yield the places of a class's samples, those of one size together, in a seeded order."""
    ranks: dict[int | None, bytes] = {}
    entries = []
    for place in places.tolist():
        size = source.size(samples[place])
        if size not in ranks:
            ranks[size] = _rank(key, str(size).encode())
        entries.append((ranks[size], place))
    entries.sort(key=lambda entry: entry[0])  # those of one size stay in the order of paths
    for _, group in groupby(entries, key=lambda entry: entry[0]):
        yield [place for _, place in group]


def _digests(source: Source, samples: Samples, places: Iterable[int]) -> dict[int, bytes]:
    """Return the digest of some samples' bytes, by place; nothing where they cannot be had.

    They are read in the order of the samples, which may be the only one that is fast.
    """
    digests = {}
    for place in sorted(places):
        data = read(source, samples[place])
        digests[place] = b"" if isinstance(data, Unreadable) else hashlib.sha256(data).digest()
    return digests


def _rank(key: str, value: bytes) -> bytes:
    """Return where a value comes among others, by a key that no other class has a say in."""
    # "surrogatepass": names on Windows may hold any surrogate.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass") + b"\0" + value).digest()
