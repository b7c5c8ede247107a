"""Parts moved out of sight in their folder: no reader finds them, and they can come back."""

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

from cache.files import TEMPORARY, sync_folder
from cache.part import SUFFIX

_ASIDE = re.compile(rf"{re.escape(TEMPORARY)}[0-9a-f]{{64}}{re.escape(SUFFIX)}")


def move_aside(parts: Iterable[Path]) -> list[Path]:
    """Move parts out of sight; return where those are now that could be moved."""
    moved = []
    for path in parts:
        # Windows moves no file that somebody reads; the next gc does.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            moved.append(path.replace(path.with_name(f"{TEMPORARY}{path.name}")))
    for folder in {path.parent for path in moved}:
        sync_folder(folder)
    return moved


def put_back(aside: Iterable[Path]) -> None:
    """Move parts back into sight."""
    paths = list(aside)
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.replace(path.with_name(path.name.removeprefix(TEMPORARY)))
    for folder in {path.parent for path in paths}:
        sync_folder(folder)


def parts_aside(space: Path) -> list[Path]:
    """Return the parts of a space's folder that are out of sight."""
    paths = (space / "parts").glob(f"{TEMPORARY}*{SUFFIX}")
    return sorted(path for path in paths if _ASIDE.fullmatch(path.name))
