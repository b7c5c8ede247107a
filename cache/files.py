"""Files that appear whole or not at all."""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Names that begin so are unfinished; nothing but `gc` looks at them.
TEMPORARY = ".tmp-"


@contextmanager
def temporary(folder: Path) -> Iterator[Path]:
    """Give a name in `folder` for a file to write; it is gone afterwards, unless renamed."""
    path = folder / f"{TEMPORARY}{uuid.uuid4().hex}"
    try:
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def publish(unfinished: Path, final: Path) -> None:
    """Make a finished file durable under its name: fsync, rename, fsync the folder.

    An existing file of that name is replaced in one step.
    """
    with unfinished.open("rb+") as file:
        os.fsync(file.fileno())
    unfinished.replace(final)
    sync_folder(final.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Windows has no such call and needs none (NTFS journal)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write `path` atomically by calling `write` with a temporary name beside it."""
    with temporary(path.parent) as unfinished:
        write(unfinished)
        publish(unfinished, path)
