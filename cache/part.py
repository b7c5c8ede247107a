"""A part: an immutable HDF5 file of features, named by the SHA-256 of its bytes.

    digests    uint8 (N, 32)     SHA-256 of each image's encoded bytes
    features   float32 (N, D)    contiguous, in the same order
    checksums  uint64 (B,)       XXH3-64 of each block of `block` rows of `features`
    facts      space (the feature space's id), block, digests_checksum (XXH3-64 of `digests`)

Its name finds any changed bit of the file (`verify`); the checksums find any that would be
served, at the speed of memory, whenever rows are read.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import xxhash

from cache.files import Damaged, sync_folder, write_whole
from cache.hdf5 import file_bytes, opened

SUFFIX = ".h5"

# Bytes of features that one checksum covers: what must be read to give out a single row.
_BLOCK_BYTES = 2**20


def write_part(folder: Path, space: str, digests: np.ndarray, features: np.ndarray) -> Path:
    """Write a part into `folder`, durable and complete when this returns; return its path.

    digests: uint8 (N, 32). features: float32 (N, D).

    Raises:
        OSError: it could not be written (full disk, no permission); nothing has changed.
    """
    digests = np.ascontiguousarray(digests, np.uint8)
    features = np.ascontiguousarray(features, "<f4")
    rows, dimension = features.shape
    if digests.shape != (rows, 32):
        raise ValueError(f"{digests.shape} digests for {features.shape} features")
    block = max(1, _BLOCK_BYTES // (4 * dimension))
    checksums = [
        xxhash.xxh3_64_intdigest(features[start : start + block].data)
        for start in range(0, rows, block)
    ]
    facts = {
        "space": space,
        "block": block,
        "digests_checksum": xxhash.xxh3_64_intdigest(digests.data),
    }
    arrays = {
        "digests": digests,
        "checksums": np.array(checksums, "<u8"),
        "features": features,
    }
    data = file_bytes("part", facts, arrays)
    final = folder / f"{hashlib.sha256(data).hexdigest()}{SUFFIX}"
    write_whole(final, data)
    return final


def set_aside(path: Path) -> Path:
    """Move a damaged part out of its space's parts, into `damaged/` beside them.

    Its images are then computed again by the next extraction.

    Raises:
        OSError: the cache cannot be written to.
    """
    folder = path.parent.parent / "damaged"
    folder.mkdir(exist_ok=True)
    aside = path.replace(folder / path.name)
    sync_folder(path.parent)
    return aside


@dataclass(frozen=True)
class Part:
    """A part that is known to be there: its path, its rows' digests and their dimension.

    Any threads and processes may read one; nothing ever writes to it again.
    """

    path: Path
    digests: np.ndarray
    dimension: int

    @property
    def block(self) -> int:
        """How many rows one checksum covers."""
        return max(1, _BLOCK_BYTES // (4 * self.dimension))

    def read(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (positions in `rows`, features float32) block by block, in the part's order.

        rows: int (M,), ascending. The features are overwritten by the next block's.

        Raises:
            Damaged: a block is not what was written.
            FileNotFoundError: the part has been compacted away or set aside.
        """
        if not len(rows):
            return
        with opened(self.path, "part") as file:
            features = file.array("features", "<f4", (len(self.digests), self.dimension))
            block = file.number("block")
            if block != self.block:
                raise Damaged(f"{self.path} is damaged: blocks of {block} rows")
            blocks = -(-len(self.digests) // block)
            checksums = file.array("checksums", "<u8", (blocks,)).read().tolist()
            buffer = np.empty((min(block, len(self.digests)), self.dimension), "<f4")
            numbers = rows // block
            starts = np.flatnonzero(np.diff(numbers, prepend=-1)).tolist()
            for start, end in pairwise([*starts, len(rows)]):
                number = int(numbers[start])
                low = number * block
                high = min(low + block, len(self.digests))
                values = buffer[: high - low]
                features.read_into(values, low)
                if xxhash.xxh3_64_intdigest(values.data) != checksums[number]:
                    raise Damaged(f"{self.path} is damaged: rows {low} to {high - 1}")
                # Not by their number: a row may be wanted twice and another not at all.
                whole = np.array_equal(rows[start:end], np.arange(low, high))
                yield np.arange(start, end), values if whole else values[rows[start:end] - low]


def open_part(path: Path, space: str, dimension: int) -> Part:
    """Read a part's digests. Raises Damaged if it is not a part of this space, as written."""
    with opened(path, "part") as file:
        digests = file.array("digests", "|u1", (None, 32)).read()
        if file.facts.get("space") != space:
            raise Damaged(f"{path} belongs to another feature space")
        if xxhash.xxh3_64_intdigest(digests.data) != file.number("digests_checksum"):
            raise Damaged(f"{path} is damaged: its digests are not what was written")
        file.array("features", "<f4", (len(digests), dimension))
    return Part(path, digests, dimension)
