"""A dataset as one plain HDF5 file, for use without this product."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from cache.dataset_names import source_datasets
from cache.failures import Failure
from cache.files import publish, temporary
from cache.rows import Row, class_order
from cache.space import Space

_ROWS_AT_ONCE = 1024

# Bytes: arrays from _LARGE on begin at pages, so that the features can be mapped into memory.
_LARGE, _PAGE = 1024, 4096


@dataclass(frozen=True)
class Packed:
    """What a packed file holds."""

    rows: int
    classes: list[str]
    bytes: int


def pack(space: Space, out: Path) -> Packed:
    """Write the cached rows of a space's `source_datasets` into one HDF5 file.

    features float32 (N, D); labels int32 (N,), an index into classes, -1 for none; classes and
    paths UTF-8 texts, in which a byte that is no UTF-8 stands as \\udcXX; digests uint8 (N, 32).
    A row for each sample, in the datasets' order.
    The file appears whole or not at all; memory is bounded by 1,024 rows of features.

    Raises:
        Failure: `out` exists, there is nothing to pack, or it could not be written.
        Damaged: a part or table is not what was written.
    """
    if out.exists():
        raise Failure(f"{out} exists already; choose another name or delete it")
    if not out.parent.is_dir():
        raise Failure(f"{out.parent} is not a folder; make it first")
    datasets = source_datasets(space.datasets())
    rows = [row for row in space.rows(datasets) if row.status == "cached"]
    if not rows:
        raise Failure(f"the space {space.id} has no cached rows to pack; run an extraction first")
    classes = class_order({row.label for row in rows if row.label is not None})
    with temporary(out.parent) as unfinished:
        with unfinished.open("wb+") as file:
            _write(_Disk(file), space, rows, classes)
        publish(unfinished, out)
    return Packed(len(rows), list(classes), out.stat().st_size)


def _write(disk: "_Disk", space: Space, rows: list[Row], classes: tuple[str, ...]) -> None:
    text = h5py.string_dtype("utf-8")
    codes: dict[str | None, int] = {label: code for code, label in enumerate(classes)}
    digests = np.frombuffer(b"".join(row.digest for row in rows), np.uint8).reshape(-1, 32)
    index = space.index()
    try:
        with h5py.File(
            disk,
            "w",
            libver="earliest",
            alignment_threshold=_LARGE,
            alignment_interval=_PAGE,
        ) as file:
            file.attrs["space"] = space.id
            file["digests"] = digests
            file["labels"] = np.array([codes.get(row.label, -1) for row in rows], np.int32)
            file.create_dataset("classes", data=[_encoded(label) for label in classes], dtype=text)
            file.create_dataset("paths", data=[_encoded(row.path) for row in rows], dtype=text)
            features = file.create_dataset("features", (len(rows), space.dimension), "<f4")
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                end = min(start + _ROWS_AT_ONCE, len(rows))
                features[start:end] = index.read(digests[start:end])
                disk.check()
    except OSError:  # HDF5's own words for what it read back after an error
        disk.check()
        raise
    disk.check()


class _Disk:
    """A file that HDF5 writes to, and that keeps errors of the disk to itself until asked.

    HDF5 cannot close a file on a full disk, and takes the process with it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first error that there was."""
        if self._error is not None:
            raise self._error

    def write(self, data: bytes) -> int:
        """Write at the file's position; what fails counts as written."""
        try:
            return self._file.write(data)
        except OSError as error:
            self._error = self._error or error
            return len(data)

    def truncate(self, size: int) -> int:
        """Make the file so long."""
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            self._file.flush()
        except OSError as error:
            self._error = self._error or error

    def read(self, size: int) -> bytes:
        """Read from the file's position."""
        return self._file.read(size)

    def readinto(self, room: memoryview) -> int:
        """Read from the file's position."""
        count: int = self._file.readinto(room)  # type: ignore[attr-defined]
        return count

    def seek(self, offset: int, whence: int = 0) -> int:
        """Set the file's position."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the file's position."""
        return self._file.tell()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
