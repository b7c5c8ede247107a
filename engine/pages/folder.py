"""Where pages of one kind go in a cache, a folder for each."""

from datetime import datetime, timezone
from pathlib import Path


def dated_folder(parent: Path, name: str) -> Path:
    """Return a folder named by today's date, with a number where that holds a file `name`."""
    date = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    folder, number = parent / date, 1
    while (folder / name).exists():
        number += 1
        folder = parent / f"{date}_{number}"
    return folder
