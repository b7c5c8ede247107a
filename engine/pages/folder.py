"""Where pages of one kind go in a cache, a folder for each."""

from datetime import datetime, timezone
from pathlib import Path

from cache.commandline.printable import printable
from cache.failures import Failure
from cache.files import is_vacant


def dated_folder(parent: Path, name: str) -> Path:
    """Return a folder named by today's date, with a number where that holds a file `name`."""
    date = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    folder, number = parent / date, 1
    while (folder / name).exists():
        number += 1
        folder = parent / f"{date}_{number}"
    return folder


def require_free(folder: Path, what: str) -> None:
    """Raise Failure where `what` cannot go into a folder: it is a file, or holds files already."""
    if folder.exists() and not folder.is_dir():
        raise Failure(f"{printable(str(folder))} is a file; give a folder for the {what}")
    if not is_vacant(folder):
        raise Failure(
            f"{printable(str(folder))} holds files; give another folder for the {what}, or an "
            "empty one"
        )
