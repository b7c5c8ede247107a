"""Another cache's features into a space: what it lacks comes over, what it has stays."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.files import Damaged, copy_whole
from cache.index import Index
from cache.part import Part, open_part, write_part
from cache.rewrite import TARGET_BYTES
from cache.space import Space

_log = logging.getLogger(__name__)


@dataclass
class Comparison:
    """How the features that both caches have differ.

    common, different: how many there are, and how many of them are not the same bits.
    largest: the largest difference of two floats. cosine: the least of two features.
    """

    common: int = 0
    different: int = 0
    largest: float = 0.0
    cosine: float = 1.0

    def add(self, ours: np.ndarray, theirs: np.ndarray) -> None:
        """Count features, float32 (N, D), in the same order."""
        self.common += len(ours)
        unequal = (ours != theirs).any(axis=1)
        if not unequal.any():
            return
        a, b = ours[unequal].astype(np.float64), theirs[unequal].astype(np.float64)
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosines = np.divide((a * b).sum(axis=1), norms, out=np.zeros_like(norms), where=norms > 0)
        self.different += len(a)
        self.largest = max(self.largest, float(np.abs(a - b).max()))
        self.cosine = min(self.cosine, float(cosines.min()))


class _Lost(Exception):
    """A part of the cache that is merged into has turned out to be damaged."""


def merge_parts(ours: Space, theirs: Space) -> tuple[int, int]:
    """Bring the features over that `ours` lacks; return how many parts and rows were written.

    Damaged parts of `theirs` are left out with a warning. Features that both have are compared,
    and a difference is one warning: another machine or release made them.
    """
    rest = [part for path in theirs.part_paths() if (part := _sound_part(path, theirs))]
    comparison, parts, rows = Comparison(), 0, 0
    while rest:
        index = ours.index()
        for part, new in zip(list(rest), _new_rows(rest, index), strict=True):
            rest.remove(part)
            try:
                _compare(index, part, comparison)
                parts += _bring(ours, part, new)
                rows += int(new.sum())
            except Damaged as damage:
                _log.warning("%s; left out", damage)
                break  # another part may have the same rows: look anew at what is new
            except _Lost:
                rest.append(part)
                break
    if comparison.different:
        _log.warning(
            "%d of %d features that both caches have differ, by up to %.3g, least cosine %.6f: "
            "another machine or release made them; those of %s stay",
            comparison.different,
            comparison.common,
            comparison.largest,
            comparison.cosine,
            ours.path,
        )
    return parts, rows


def _sound_part(path: Path, theirs: Space) -> Part | None:
    try:
        return open_part(path, theirs.id, theirs.dimension)
    except Damaged as damage:
        _log.warning("%s; left out", damage)
    except FileNotFoundError:
        pass  # compacted away since it was listed
    return None


def _new_rows(parts: Sequence[Part], index: Index) -> list[np.ndarray]:
    """Return for each part which of its rows to bring over, bool (N,): each digest once."""
    digests = np.concatenate([part.digests for part in parts])
    new = np.zeros(len(digests), bool)
    _, first = np.unique(np.ascontiguousarray(digests).view("V32").reshape(-1), return_index=True)
    new[first] = True
    new &= ~index.contains(digests)
    return np.split(new, np.cumsum([len(part.digests) for part in parts])[:-1])


def _compare(index: Index, part: Part, comparison: Comparison) -> None:
    common = np.flatnonzero(index.contains(part.digests))
    for positions, theirs in part.read(common):
        try:
            ours = index.read(part.digests[common[positions]])
        except Damaged as damage:  # it is set aside: the rows are new now
            _log.warning("%s", damage)
            raise _Lost from damage
        comparison.add(ours, theirs)


def _bring(ours: Space, part: Part, new: np.ndarray) -> int:
    """Write the new rows of a part into `ours`; return into how many parts."""
    if new.all():
        copy_whole(part.path, ours.path / "parts" / part.path.name, {part.path.stem})
        return 1
    rows = np.flatnonzero(new)
    at_once = max(1, TARGET_BYTES // (4 * ours.dimension))
    for start in range(0, len(rows), at_once):
        chosen = rows[start : start + at_once]
        features = np.empty((len(chosen), ours.dimension), np.float32)
        for positions, values in part.read(chosen):
            features[positions] = values
        write_part(ours.path / "parts", ours.id, part.digests[chosen], features)
    return -(-len(rows) // at_once)
