"""Files that appear whole or not at all."""

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cache.failures import Failure

# Names that begin so are unfinished; nothing but `gc` looks at them.
TEMPORARY = ".tmp-"


class Damaged(Failure):
    """A file of the cache is not what was written."""


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
    """Make the names in a folder durable. Windows has no such call, and NTFS needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically and durably, in place of an earlier one.

    Raises:
        OSError: it could not be written (full disk, no permission); an earlier one is as it was.
    """
    with temporary(path.parent) as unfinished:
        unfinished.write_bytes(data)
        publish(unfinished, path)


def write_json(path: Path, record: Any) -> None:
    """Write a JSON file atomically and durably."""
    write_whole(path, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode("ascii"))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises Damaged if the file is none."""
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path} is damaged: {error}") from error
    if not isinstance(record, dict):
        raise Damaged(f"{path} is damaged: it is not a JSON object")
    return record
