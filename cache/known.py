"""A disposable list of the parts' digests, so that thousands of small parts open quickly.

`known.h5` of a space, HDF5 like a part: `names` uint8 (P, 32), the SHA-256 that each part is
named by; `counts` int64 (P,), its rows; `digests` uint8 (N, 32), theirs end to end; attribute
`checksum`, XXH3-64 over the three. Deleting it costs nothing but the time to read the parts.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xxhash

from cache.files import Damaged, write_whole
from cache.hdf5 import dataset, image, opened
from cache.part import SUFFIX, Part

NAME = "known.h5"

# Reading this many parts that the list lacks (about 1 ms each) is worth writing it anew.
WORTH_WRITING = 64


def read_known(folder: Path) -> dict[str, np.ndarray]:
    """Return the listed parts: file name -> digests, uint8 (N, 32). Empty without a sound list."""
    try:
        with opened(folder / NAME, "known") as file:
            names = dataset(file, "names", "|u1", (None, 32))[()]
            counts = dataset(file, "counts", "<i8", (len(names),))[()]
            digests = dataset(file, "digests", "|u1", (None, 32))[()]
            if _checksum(names, counts, digests) != file.attrs["checksum"]:
                raise Damaged(f"{file.filename} is damaged")
    except (Damaged, FileNotFoundError):
        return {}
    ends = np.cumsum(counts)
    return {
        f"{name.tobytes().hex()}{SUFFIX}": digests[end - count : end]
        for name, count, end in zip(names, counts, ends, strict=True)
    }


def write_known(folder: Path, parts: Sequence[Part]) -> None:
    """List `parts`. Nothing happens where the cache cannot be written to: the list is a help."""
    names = np.frombuffer(b"".join(bytes.fromhex(p.path.stem) for p in parts), np.uint8)
    names = names.reshape(-1, 32)
    counts = np.array([len(part.digests) for part in parts], "<i8")
    digests = np.concatenate([np.empty((0, 32), np.uint8), *(part.digests for part in parts)])
    arrays = {"names": names, "counts": counts, "digests": digests}
    data = image("known", {"checksum": _checksum(names, counts, digests)}, arrays)
    with contextlib.suppress(OSError):
        write_whole(folder / NAME, data)


def _checksum(*arrays: np.ndarray) -> np.uint64:
    digest = xxhash.xxh3_64()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return np.uint64(digest.intdigest())
