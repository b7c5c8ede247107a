"""A dataset as one plain HDF5 file, for use without this product."""

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from cache.failures import Failure
from cache.files import publish, temporary
from cache.index import Index
from cache.rows import Row
from cache.space import Space

_ROWS_AT_ONCE = 1024

# HDF5 File Format Specification 3.0, IV.A.2.i: data layout version 3, contiguous, no address yet;
# II.A: the end of file address of superblock version 0.
_LAYOUT = b"\x03\x01"
_NOWHERE = _LAYOUT + b"\xff" * 8
_END_OF_FILE = slice(40, 48)
_ALIGNMENT = 4096


@dataclass(frozen=True)
class Packed:
    """What a packed file holds."""

    rows: int
    classes: list[str]
    bytes: int


def pack(space: Space, out: Path) -> Packed:
    """Write the cached rows of all datasets of a space into one HDF5 file.

    features float32 (N, D); labels int32 (N,), an index into classes, -1 for none; classes and
    paths UTF-8 texts; digests uint8 (N, 32). A row for each sample, in the datasets' order.
    The file appears whole or not at all; memory is bounded by 1,024 rows of features.

    Raises:
        Failure: `out` exists, there is nothing to pack, or it could not be written.
        Damaged: a part or table is not what was written.
    """
    if out.exists():
        raise Failure(f"{out} exists already; choose another name or delete it")
    if not out.parent.is_dir():
        raise Failure(f"{out.parent} is not a folder; make it first")
    rows = [row for row in space.rows() if row.status == "cached"]
    if not rows:
        raise Failure(f"the space {space.id} has no cached rows to pack; run an extraction first")
    classes = sorted({row.label for row in rows if row.label is not None})
    skeleton, place = _skeleton(space, rows, classes)
    with temporary(out.parent) as unfinished:
        with unfinished.open("wb") as file:
            file.write(skeleton.ljust(place, b"\0"))
            _write_features(file, space.index(), [row.digest for row in rows])
        with h5py.File(unfinished, "r") as packed:
            assert packed["features"].id.get_offset() == place
        publish(unfinished, out)
    return Packed(len(rows), classes, out.stat().st_size)


def _skeleton(space: Space, rows: list[Row], classes: list[str]) -> tuple[bytes, int]:
    """Return the file without its features, and where in the file they belong.

    HDF5 works in memory alone: on a full disk it cannot close a file, and takes the process with
    it. It gives the features no storage, as nothing is written to them; their address is filled
    in afterwards, in the oldest format, whose metadata have no checksums.
    """
    text = h5py.string_dtype("utf-8")
    codes: dict[str | None, int] = {label: code for code, label in enumerate(classes)}
    digests = b"".join(row.digest for row in rows)
    name = uuid.uuid4().hex
    with h5py.File(name, "w", driver="core", backing_store=False, libver="earliest") as file:
        file.attrs["space"] = space.id
        file["digests"] = np.frombuffer(digests, np.uint8).reshape(-1, 32)
        file["labels"] = np.array([codes.get(row.label, -1) for row in rows], np.int32)
        file.create_dataset("classes", data=[_encoded(label) for label in classes], dtype=text)
        file.create_dataset("paths", data=[_encoded(row.path) for row in rows], dtype=text)
        features = file.create_dataset("features", (len(rows), space.dimension), "<f4")
        header = h5py.h5o.get_info(features.id).addr
        file.flush()
        image = bytearray(file.id.get_file_image())
    size = 4 * len(rows) * space.dimension
    place = -(-len(image) // _ALIGNMENT) * _ALIGNMENT
    address = image.index(_NOWHERE + size.to_bytes(8, "little"), header) + len(_LAYOUT)
    image[address : address + 8] = place.to_bytes(8, "little")
    image[_END_OF_FILE] = (place + size).to_bytes(8, "little")
    return bytes(image), place


def _write_features(file: BinaryIO, index: Index, digests: list[bytes]) -> None:
    for start in range(0, len(digests), _ROWS_AT_ONCE):
        wanted = b"".join(digests[start : start + _ROWS_AT_ONCE])
        features = index.read(np.frombuffer(wanted, np.uint8).reshape(-1, 32))
        file.write(np.ascontiguousarray(features, "<f4").data)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
