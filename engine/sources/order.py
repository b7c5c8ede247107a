"""Which samples of a source, and in which order."""

import hashlib
import random
from collections.abc import Sequence

import numpy as np

from engine.sources.base import Sample


def select(
    samples: Sequence[Sample], *, fraction: float | None, limit_per_class: int | None, seed: int
) -> list[Sample]:
    """Return a seeded, stratified sample, in the order of `samples`.

    fraction: of each class, rounded, at least one; above 0, at most 1. None for all.
    limit_per_class: at most so many of each class, after `fraction`; at least 1. None for all.

    A larger fraction or limit only adds to what a smaller one gives: what was computed serves on.
    """
    if fraction is None and limit_per_class is None:
        return list(samples)
    chosen: set[int] = set()
    for label, positions in _by_class(samples):
        count = len(positions)
        if fraction is not None:
            count = max(1, round(count * fraction))
        if limit_per_class is not None:
            count = min(count, limit_per_class)
        chosen.update(_shuffled(positions, label, seed)[:count])
    return [sample for position, sample in enumerate(samples) if position in chosen]


def interleave(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """Return a seeded, class-balanced shuffle.

    Each prefix holds each class in the proportion of the whole, give or take one sample, so that a
    pass that stops half-way leaves a fair sample: the k-th of a class's n comes at (k - 1/2) / n.
    """
    # Arrays, not tuples: of a million samples those would be the most memory of all.
    positions = [np.empty(0, np.int64)]
    keys = [np.empty(0)]
    for label, of_class in _by_class(samples):
        positions.append(np.array(_shuffled(of_class, label, seed), np.int64))
        keys.append((np.arange(len(of_class)) + 0.5) / len(of_class))
    classes = np.repeat(np.arange(len(keys)), [len(key) for key in keys])
    places = np.concatenate(positions)
    order = places[np.lexsort((places, classes, np.concatenate(keys)))]
    return [samples[at] for at in order.tolist()]


def _by_class(samples: Sequence[Sample]) -> list[tuple[str | None, list[int]]]:
    """Return each class with the positions of its samples; sorted, those without a label first.

    Inside a class by path, so that an archive gives the choice that its folder gives.
    """
    classes: dict[str | None, list[int]] = {}
    for position in sorted(range(len(samples)), key=lambda at: samples[at].path):
        classes.setdefault(samples[position].label, []).append(position)
    return sorted(classes.items(), key=lambda entry: (entry[0] is not None, entry[0] or ""))


def _shuffled(positions: Sequence[int], label: str | None, seed: int) -> list[int]:
    """Return a class's positions in a seeded order, which no other class has a say in."""
    # "surrogatepass": names on Windows may hold any surrogate.
    key = hashlib.sha256(f"{seed} {label}".encode("utf-8", "surrogatepass")).digest()
    order = list(positions)
    random.Random(key).shuffle(order)  # noqa: S311 - an order, not a secret
    return order
