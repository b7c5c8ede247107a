"""HDF5 files of this cache, whose user block says where their arrays lie.

An HDF5 file may begin with a user block, which HDF5 ignores. Ours holds a record (`cache.record`)
of USER_BLOCK bytes: facts about the file, and the shape and place of each of its arrays, which
HDF5 keeps as contiguous datasets. So anybody can read the file with HDF5, and this module reads
the arrays at their places without it: libhdf5 can be made to hang, to crash and to read other
files by what it finds in a file (docs/decisions/021-no-hdf5-library-on-the-way-in.md).
"""

import math
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cache.files import Damaged, open_regular
from cache.record import FORMAT, VERSION, sealed, unsealed

# HDF5 looks for its own beginning at 512 bytes and each doubling of that.
USER_BLOCK = 1024

# HDF5's file format whose metadata carry checksums (superblock 3 and object headers 2).
_LIBVER = ("v110", "v110")


def file_bytes(kind: str, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the bytes of an HDF5 file of this cache: `kind` is `part` or `table`.

    Made in memory: what is written is then one plain write, whose errors (a full disk) leave no
    half-closed HDF5 file behind.
    """
    import h5py

    places = {}
    with h5py.File(
        uuid.uuid4().hex,
        "w",
        driver="core",
        backing_store=False,
        libver=_LIBVER,
        userblock_size=USER_BLOCK,
    ) as file:
        file.attrs["format"] = np.bytes_(f"{FORMAT}-{kind}")
        file.attrs["version"] = VERSION
        for key, array in arrays.items():
            file[key] = array
            places[key] = [list(array.shape), file[key].id.get_offset() or 0]
        file.flush()
        body: bytes = file.id.get_file_image()
    return sealed(kind, {**facts, "arrays": places}, USER_BLOCK) + body


@dataclass(frozen=True)
class Array:
    """An array of an open file, which holds all of it."""

    file: BinaryIO
    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    start: int

    def read(self) -> np.ndarray:
        """Return all of it."""
        values = np.empty(self.shape, self.dtype)
        self.read_into(values)
        return values

    def read_into(self, out: np.ndarray, first: int = 0) -> None:
        """Fill `out`, a contiguous array of this one's dtype, with the rows from `first` on.

        Raises:
            Damaged: the file has become shorter since it was opened.
        """
        room = out.reshape(-1).view(np.uint8).data
        self.file.seek(self.start + first * self.dtype.itemsize * math.prod(self.shape[1:]))
        while len(room):
            count = self.file.readinto(room)  # type: ignore[attr-defined]  # it is unbuffered
            if not count:
                raise Damaged(f"{self.path} is damaged: it is cut short")
            room = room[count:]


@dataclass(frozen=True)
class Stored:
    """An open file of arrays, and the facts of its record. One thread's."""

    file: BinaryIO
    path: Path
    facts: Mapping[str, Any]

    @property
    def version(self) -> int:
        """The version of the format that it was written in."""
        return self.number("version")

    def number(self, name: str) -> int:
        """Return a fact that is a whole number. Damaged if it is none."""
        value = self.facts.get(name)
        if type(value) is not int:
            raise Damaged(f"{self.path} is damaged: {name} is no whole number")
        return value

    def array(self, name: str, dtype: str, shape: tuple[int | None, ...]) -> Array:
        """Return where an array is. None in `shape` stands for any length.

        Raises:
            Damaged: there is none of that shape, or the file is too small to hold it.
        """
        places = self.facts.get("arrays")
        place = places.get(name) if isinstance(places, dict) else None
        if not isinstance(place, list) or len(place) != 2 or not isinstance(place[0], list):
            raise Damaged(f"{self.path} is damaged: it has no {name}")
        numbers = [*place[0], place[1]]
        if any(type(number) is not int or number < 0 for number in numbers):
            raise Damaged(f"{self.path} is damaged: the place of {name} is none")
        *found, start = numbers
        if len(found) != len(shape) or any(
            want not in (None, have) for want, have in zip(shape, found, strict=True)
        ):
            raise Damaged(f"{self.path} is damaged: {name} has another shape")
        # Python's integers: NumPy's would overflow for a hostile shape.
        end = start + np.dtype(dtype).itemsize * math.prod(found)
        if end > os.fstat(self.file.fileno()).st_size:
            raise Damaged(f"{self.path} is damaged: {name} is not as large as it says")
        return Array(self.file, self.path, np.dtype(dtype), tuple(found), start)


@contextmanager
def opened(path: Path, kind: str) -> Iterator[Stored]:
    """Open an HDF5 file of this cache for reading.

    Raises:
        Damaged: it is not of that kind, or its record is not what was written.
        Failure: a newer release wrote it.
        OSError: it is gone, or may not be read.
    """
    with open_regular(path) as file:
        yield Stored(file, path, unsealed(file.read(USER_BLOCK), path, kind))
