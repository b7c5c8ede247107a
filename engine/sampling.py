"""Which samples of a source, and in which order."""

import hashlib
import random
from collections.abc import Sequence

from engine.sources import Sample


def _by_class(samples: Sequence[Sample]) -> dict[str | None, list[Sample]]:
    classes: dict[str | None, list[Sample]] = {}
    for sample in samples:
        classes.setdefault(sample.label, []).append(sample)
    return classes


def _shuffled(samples: Sequence[Sample], label: str | None, seed: int) -> list[Sample]:
    """Return a class's samples in a seeded order of their own."""
    key = hashlib.sha256(f"{seed} {label}".encode("utf-8", "surrogateescape")).digest()
    order = list(samples)
    random.Random(key).shuffle(order)  # noqa: S311 - an order, not a secret
    return order


def select(
    samples: Sequence[Sample], *, fraction: float | None, limit_per_class: int | None, seed: int
) -> list[Sample]:
    """Return a seeded, stratified sample, in the source's order.

    fraction: of each class, rounded, at least one.
    limit_per_class: at most so many of each class, after `fraction`.
    """
    if fraction is None and limit_per_class is None:
        return list(samples)
    chosen: set[str] = set()
    for label, members in _by_class(samples).items():
        count = len(members)
        if fraction is not None:
            count = max(1, round(count * fraction))
        if limit_per_class is not None:
            count = min(count, limit_per_class)
        chosen.update(sample.path for sample in _shuffled(members, label, seed)[:count])
    return [sample for sample in samples if sample.path in chosen]


def interleave(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """Return a seeded, class-balanced shuffle.

    Each prefix holds the classes in about the proportions of the whole, so that a pass stopped
    half-way leaves a fair sample.
    """
    placed = []
    for number, (label, members) in enumerate(sorted(_by_class(samples).items(), key=_label)):
        order = _shuffled(members, label, seed)
        placed += [((i + 0.5) / len(order), number, sample) for i, sample in enumerate(order)]
    placed.sort(key=lambda entry: entry[:2])
    return [sample for _, _, sample in placed]


def _label(entry: tuple[str | None, list[Sample]]) -> tuple[bool, str]:
    return (entry[0] is not None, entry[0] or "")
