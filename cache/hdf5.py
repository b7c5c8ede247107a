"""HDF5 files of this cache: opened read-only, and refused where a stranger's could do harm."""

import errno
import stat
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cache.failures import Failure
from cache.files import Damaged

FORMAT = "onceover"
VERSION = 1

# The file format whose metadata carry checksums (HDF5 1.10's superblock 3 and object headers 2).
_LIBVER = ("v110", "v110")

# What keeps a sound file from being opened; any other error is the file's own.
_CIRCUMSTANCES = frozenset(
    {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)


def image(kind: str, attributes: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the bytes of an HDF5 file of this cache: `kind` is `part`, `table` or `known`.

    Made in memory: what is written is then one plain write, whose errors (a full disk) leave no
    half-closed HDF5 file behind.
    """
    name = uuid.uuid4().hex
    with h5py.File(name, "w", driver="core", backing_store=False, libver=_LIBVER) as file:
        file.attrs["format"] = f"{FORMAT}-{kind}"
        file.attrs["version"] = VERSION
        for key, value in attributes.items():
            file.attrs[key] = value
        for key, array in arrays.items():
            file[key] = array
        file.flush()
        return bytes(file.id.get_file_image())


@contextmanager
def opened(path: Path, kind: str) -> Iterator[h5py.File]:
    """Open an HDF5 file of this cache for reading.

    Raises:
        Damaged: HDF5 cannot read it, or it is not of that kind.
        Failure: a newer release wrote it.
        OSError: it is gone, or may not be read.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise Damaged(f"{path} is not a regular file")
        # Finished files never change, so HDF5's locks (which some network disks lack) are needless.
        with h5py.File(path, "r", locking=False) as file:
            if file.attrs.get("format") != f"{FORMAT}-{kind}":
                raise Damaged(f"{path} is not a {kind} of a cache")
            version = int(file.attrs["version"])
            if version > VERSION:
                raise Failure(
                    f"{path} has format version {version}, this release reads up to {VERSION}; "
                    "update onceover"
                )
            yield file
    except (OSError, LookupError, ValueError, RuntimeError, TypeError, ArithmeticError) as error:
        if isinstance(error, OSError) and error.errno in _CIRCUMSTANCES:
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Damaged(f"{path} is damaged: {reason}") from error


def dataset(file: h5py.File, name: str, dtype: str, shape: tuple[int | None, ...]) -> h5py.Dataset:
    """Return a dataset of the file after checking it. None in `shape` stands for any length.

    Refuses what would read other files (external links and storage, virtual datasets), filters
    (an unknown one would load a plug-in), and sizes that the file cannot hold.
    """
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise Damaged(f"{file.filename} has no {name} of its own")
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise Damaged(f"{file.filename}: {name} is not a dataset")
    plist = found.id.get_create_plist()
    if found.is_virtual or found.external or plist.get_nfilters():
        raise Damaged(f"{file.filename}: {name} is stored in a way that is refused")
    if found.dtype != np.dtype(dtype) or len(found.shape) != len(shape):
        raise Damaged(f"{file.filename}: {name} has another type or rank")
    if any(want not in (None, have) for want, have in zip(shape, found.shape, strict=True)):
        raise Damaged(f"{file.filename}: {name} has another shape")
    size = found.size * found.dtype.itemsize
    if found.id.get_storage_size() != size or size > Path(file.filename).stat().st_size:
        raise Damaged(f"{file.filename}: {name} is not as large as it says")
    return found
