"""What nothing uses any more."""

import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.aside import parts_aside, put_back
from cache.files import TEMPORARY, is_link
from cache.index import Index
from cache.lost import is_lost_dataset, is_lost_space
from cache.maintenance import maintenance
from cache.part import Part
from cache.space import Space
from cache.store import FeatureCache

_log = logging.getLogger(__name__)

# Seconds within which a file may belong to a run that is still under way.
MIN_AGE = 3600.0


@dataclass(frozen=True)
class Garbage:
    """What no dataset uses.

    spaces: folders of those without any dataset, or what a killed gc left of one.
    rows: features of digests that no row names, in `parts`.
    files: of killed processes and set aside as damaged.
    markers: rows of runs that were not finished then, and had written none for `min_age` seconds.
    """

    spaces: Sequence[Path]
    parts: Sequence[tuple[Space, Sequence[Part]]]
    rows: int
    files: Sequence[Path]
    markers: frozenset[Path]
    min_age: float


def leftovers(cache: FeatureCache) -> list[Path]:
    """Return unfinished files (of processes killed or at work), and parts set aside as damaged.

    And rows without the name of a dataset, of a killed forget or a run that has only just begun.
    """
    unfinished = cache.path.rglob(f"{TEMPORARY}*")
    spaces = cache.spaces()
    aside = (path for space in spaces for path in (space.path / "damaged").glob("*"))
    nameless = (
        path
        for space in spaces
        for folder in (space.path / "datasets").glob("*/")
        if not is_link(folder)
        and not (folder / "dataset.json").exists()
        and not is_lost_dataset(folder)
        for path in folder.iterdir()
    )
    files = {*unfinished, *aside, *nameless}
    return sorted(path for path in files if is_link(path) or not path.is_dir())


def find_garbage(cache: FeatureCache, min_age: float = MIN_AGE) -> Garbage:
    """Find what no dataset uses.

    What a killed gc left half removed is put back first, as nobody knows for whom.

    min_age: seconds; anything younger is left to its process. 0 for none: nothing else runs.

    Raises:
        Failure: another compact, merge or gc is at work.
    """
    with maintenance(cache.path):
        for space in cache.spaces():
            put_back(parts_aside(space.path))
    unused = [
        folder
        for folder in (cache.path / "spaces").glob("*/")
        if not (folder / "space.json").exists()
        and not is_link(folder)
        and not is_lost_space(folder)
        and is_old(folder, min_age)
    ]
    parts: list[tuple[Space, Sequence[Part]]] = []
    rows = 0
    markers: set[Path] = set()
    for space in cache.spaces():
        markers.update(space.partial_rows())
        if any(map(is_lost_dataset, (space.path / "datasets").glob("*/"))):
            _log.warning("%s has lost the name of a dataset, see verify; left alone", space.path)
            continue
        if not space.datasets():
            if is_old(space.path / "parts", min_age):
                unused.append(space.path)
            continue
        if not all(is_old(path, min_age) for path in space.partial_rows()):
            continue  # a run under way may count on features that no row names yet
        used = used_digests(space)
        affected = []
        for part in space.parts():
            count = int((~used.contains(part.digests)).sum())
            if count and is_old(part.path, min_age):
                affected.append(part)
                rows += count
        if affected:
            parts.append((space, affected))
    files = [path for path in leftovers(cache) if is_old(path, min_age)]
    return Garbage(unused, parts, rows, files, frozenset(markers), min_age)


def used_digests(space: Space) -> Index:
    """Return an index of the digests that the space's rows name."""
    digests = b"".join(row.digest for row in space.rows() if row.status == "cached")
    named = np.frombuffer(digests, np.uint8).reshape(-1, 32)
    return Index([Part(space.path, named, space.dimension)], space.dimension, space.index)


def is_old(path: Path, min_age: float) -> bool:
    """Tell whether a file is older than `min_age` seconds; False once it is gone.

    One from the future (a clock was set back) is young: too much is kept rather than too little.
    """
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.lstat().st_mtime >= min_age or min_age <= 0
    return False
