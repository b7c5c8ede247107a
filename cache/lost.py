"""Records that are gone while what they are the record of is still there.

A cache that was copied in part, or a file that somebody deleted, looks so. What a killed gc or
forget leaves looks otherwise: they hide the record or the parts first, under a temporary name.
"""

import contextlib
from pathlib import Path

from cache.files import TEMPORARY, Damaged
from cache.part import SUFFIX
from cache.row_files import read_rows


def is_lost_space(folder: Path) -> bool:
    """Tell whether a folder of parts has lost the record that makes it a space."""
    if any((folder / name).exists() for name in ("space.json", f"{TEMPORARY}space.json")):
        return False
    return any(True for _ in (folder / "parts").glob(f"[!.]*{SUFFIX}"))


def is_lost_dataset(folder: Path) -> bool:
    """Tell whether a folder of rows has lost the record that makes it a dataset.

    A run that has only just begun has written an empty segment and no record yet.
    """
    if any((folder / name).exists() for name in ("dataset.json", f"{TEMPORARY}dataset.json")):
        return False
    return any(map(_has_rows, folder.glob(f"[!.]*{SUFFIX}")))


def _has_rows(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError, Damaged):
        return bool(read_rows(path))
    return False
