"""Other caches into one."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cache.failures import UsageFailure
from cache.files import Damaged, copy_whole
from cache.maintenance import maintenance
from cache.merge_parts import merge_parts
from cache.space import Space
from cache.store import FeatureCache

_log = logging.getLogger(__name__)


@dataclass
class Merged:
    """What was brought over: parts, their rows, and the datasets that gained rows."""

    parts: int = 0
    rows: int = 0
    datasets: int = 0


def merge(cache: FeatureCache, others: Sequence[FeatureCache]) -> Merged:
    """Bring the features, rows and notes of other caches into `cache`; the others stay as they are.

    Parts come before the rows that name them, each whole, so a kill at any moment leaves a sound
    cache, and the same command goes on. Nothing that `cache` has is replaced: where both have a
    feature of one image, or a row of one path, that of `cache` stays.

    Raises:
        Failure: another compact, merge or gc is at work in `cache`.
        Damaged: rows of the others are not what was written. Damaged parts are left out
            with a warning.
    """
    if any(other.path.resolve() == cache.path.resolve() for other in others):
        raise UsageFailure(f"{cache.path} cannot be merged into itself; name another cache")
    merged = Merged()
    with maintenance(cache.path):
        for other in others:
            for theirs in other.spaces():
                ours = cache.add_space(theirs.description, theirs.dimension)
                _merge_companions(ours, theirs)
                parts, rows = merge_parts(ours, theirs)
                merged.parts += parts
                merged.rows += rows
                _merge_rows(ours, theirs, merged)
    return merged


def _merge_companions(ours: Space, theirs: Space) -> None:
    for source in theirs.companions():
        if (ours.path / source.name).exists():
            continue
        try:
            copy_whole(source, ours.path / source.name, ours.companion_digests)
        except Damaged as damage:
            _log.warning("%s; left out", damage)
    present = {path.stem for path in ours.note_paths()}
    for name, payload in theirs.notes().items():
        if name not in present:
            ours.write_note(name, payload)


def _merge_rows(ours: Space, theirs: Space, merged: Merged) -> None:
    index = ours.index()
    for name in theirs.datasets():
        present = ours.rows([name]) if name in ours.datasets() else []
        paths = {row.path for row in present}
        new = [row for row in theirs.rows([name]) if row.path not in paths]
        digests = np.frombuffer(b"".join(row.digest or bytes(32) for row in new), np.uint8)
        there = index.contains(digests).tolist()
        sound = [r for r, held in zip(new, there, strict=True) if held or r.status != "cached"]
        if len(sound) < len(new):
            _log.warning(
                "%d rows of %s are left out: %s has lost their features",
                len(new) - len(sound),
                name,
                theirs.path,
            )
        if sound or not present:
            origin = None if present else theirs.origin(name)
            writer = ours.write_dataset(name, origin=origin)
            writer.append(sound)
            merged.datasets += 1
