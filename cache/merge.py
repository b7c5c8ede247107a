"""Other caches into one."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from cache.failures import UsageFailure
from cache.files import Damaged, copy_whole
from cache.maintenance import maintenance
from cache.part import open_part
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
    cache, and the same command goes on. Where both have a row of one path, that of `cache` stays.

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
                _merge_parts(ours, theirs, merged)
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


def _merge_parts(ours: Space, theirs: Space, merged: Merged) -> None:
    index = ours.index()
    for path in theirs.part_paths():
        try:
            part = open_part(path, theirs.id, theirs.dimension)
            new = int((~index.contains(part.digests)).sum())
            if not new:
                continue
            copy_whole(path, ours.path / "parts" / path.name, {path.stem})
        except Damaged as damage:
            _log.warning("%s; left out", damage)
            continue
        merged.parts += 1
        merged.rows += new


def _merge_rows(ours: Space, theirs: Space, merged: Merged) -> None:
    for name in theirs.datasets():
        present = ours.rows([name]) if name in ours.datasets() else []
        paths = {row.path for row in present}
        new = [row for row in theirs.rows([name]) if row.path not in paths]
        if new or not present:
            writer = ours.write_dataset(name)
            writer.append(new)
            merged.datasets += 1
