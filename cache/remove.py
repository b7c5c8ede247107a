"""What nothing uses, removed: beside extractions, and killed at any moment.

An extraction writes its marker (an empty segment of rows), then looks up which features the cache
has, and counts on those. So gc first moves what it would delete out of sight, then looks for new
markers and rows, and only then deletes it, or puts it back: a lookup that still saw it was made
after a marker that gc sees. No lock and no clock is needed, however long either of them is stopped
(docs/decisions/024-gc-beside-an-extraction.md).
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cache.aside import move_aside, parts_aside, put_back
from cache.collect import Garbage, is_old, used_digests
from cache.files import TEMPORARY
from cache.maintenance import maintenance
from cache.part import Part
from cache.rewrite import write_anew
from cache.space import Space
from cache.store import FeatureCache


@dataclass
class Removed:
    """What was removed, and the spaces of which something was left to a run that has begun."""

    spaces: list[str] = field(default_factory=list)
    rows: int = 0
    files: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def remove_garbage(cache: FeatureCache, garbage: Garbage) -> Removed:
    """Remove what was found, where no dataset and no run has come to use it since.

    Killed at any moment, no row that a dataset uses is lost.

    Raises:
        Failure: another compact, merge or gc is at work, or a part is damaged (and set aside).
    """
    removed = Removed()
    with maintenance(cache.path):
        for path in reversed(garbage.files):  # what is hidden, such as a name, after its rows
            if _is_named(path):
                continue  # the dataset of these rows has come back
            path.unlink(missing_ok=True)
            removed.files.append(str(path))
        for folder in garbage.spaces:
            gone = _remove_space(folder, garbage.min_age)
            (removed.spaces if gone else removed.left).append(folder.name)
        for space, parts in garbage.parts:
            rows = _remove_rows(space, parts, garbage)
            removed.rows += rows
            if not rows:
                removed.left.append(space.id)
    return removed


def _is_named(path: Path) -> bool:
    folder = path.parent
    return folder.parent.name == "datasets" and (
        not path.name.startswith(TEMPORARY) and (folder / "dataset.json").exists()
    )


def _remove_rows(space: Space, parts: Sequence[Part], garbage: Garbage) -> int:
    """Remove the unused rows of parts; return how many, 0 where they are left as they are."""
    if _has_begun(space, garbage):
        return 0
    used = used_digests(space)
    dropped = np.concatenate([part.digests for part in parts])
    dropped = dropped[~used.contains(dropped)]
    new = set(write_anew(space, parts, used.contains))
    aside = move_aside(part.path for part in parts if part.path not in new)
    if _has_begun(space, garbage) or used_digests(space).contains(dropped).any():
        put_back(aside)
        return 0
    for path in aside:
        path.unlink(missing_ok=True)
    return len(dropped)


def _has_begun(space: Space, garbage: Garbage) -> bool:
    """Tell whether a run is under way that may count on features which no row names yet."""
    return any(
        path not in garbage.markers or not is_old(path, garbage.min_age)
        for path in space.partial_rows()
    )


def _remove_space(folder: Path, min_age: float) -> bool:
    """Remove a space without datasets, or what a kill left of one; return whether it was done."""
    record, hidden = folder / "space.json", folder / f"{TEMPORARY}space.json"
    parts = [path for path in (folder / "parts").glob("*") if not path.name.startswith(TEMPORARY)]
    move_aside(parts)
    with contextlib.suppress(FileNotFoundError):
        record.replace(hidden)  # without its record the folder is no space
    if any((folder / "datasets").glob("*/dataset.json")):
        put_back(parts_aside(folder))
        if not record.exists():
            hidden.replace(record)
        return False
    # A run that begins from here on writes the record anew, and sees none of the parts.
    paths = sorted(folder.rglob("*"), reverse=True)  # what is in a folder before the folder
    for path in paths:
        with contextlib.suppress(OSError):  # a folder that a run has just written into
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            elif path.parent.parent.name != "datasets" or is_old(path, min_age):
                path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()
    return True
