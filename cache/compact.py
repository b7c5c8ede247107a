"""Many small parts into few large ones."""

from dataclasses import dataclass

import numpy as np

from cache.index import Index
from cache.maintenance import maintenance
from cache.part import Part
from cache.rewrite import TARGET_BYTES, rewrite
from cache.space import Space
from cache.store import FeatureCache


@dataclass(frozen=True)
class Compacted:
    """How many parts and rows a space had, and has."""

    space: str
    parts_before: int
    parts_after: int
    rows_before: int
    rows_after: int


def compact(cache: FeatureCache) -> list[Compacted]:
    """Rewrite the small parts of each space, and those that repeat another's rows.

    Other processes may read and extract meanwhile. Killed at any moment, no row is lost.

    Raises:
        Failure: another compact, merge or gc is at work; or a part is damaged (and set aside).
    """
    with maintenance(cache.path):
        return [_compact_space(space) for space in cache.spaces()]


def _compact_space(space: Space) -> Compacted:
    parts = space.parts()
    inputs, rest = _divide(parts, TARGET_BYTES // (4 * space.dimension) // 2)
    after = parts
    if len(inputs) > 1 or (inputs and rest):
        elsewhere = Index(rest, space.dimension, space.index)
        rewrite(space, inputs, lambda digests: ~elsewhere.contains(digests))
        after = space.parts()
    return Compacted(
        space.id,
        len(parts),
        len(after),
        sum(len(part.digests) for part in parts),
        sum(len(part.digests) for part in after),
    )


def _divide(parts: list[Part], small: int) -> tuple[list[Part], list[Part]]:
    """Return (parts to rewrite, the rest): small ones, and ones that repeat a row of the rest."""
    inputs: list[Part] = [part for part in parts if len(part.digests) < small]
    rest: list[Part] = []
    large = [part for part in parts if len(part.digests) >= small]
    if not large:
        return inputs, rest
    digests = np.concatenate([part.digests for part in large])
    _, first = np.unique(digests.view("V32").reshape(-1), return_index=True)
    new = np.zeros(len(digests), bool)
    new[first] = True
    start = 0
    for part in large:
        end = start + len(part.digests)
        (rest if new[start:end].all() else inputs).append(part)
        start = end
    return inputs, rest
