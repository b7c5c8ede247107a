"""A dataset as one plain HDF5 file, for use without this product."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from cache.failures import Failure
from cache.files import publish, temporary
from cache.index import Index
from cache.space import Space
from cache.table import Row

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Packed:
    """What a packed file holds."""

    rows: int
    classes: list[str]
    bytes: int


def pack(space: Space, out: Path, warn: Callable[[str], None]) -> Packed:
    """Write the cached rows of all datasets of a space into one HDF5 file.

    features float32 (N, D); labels int32 (N,), an index into classes, -1 for none; classes and
    paths UTF-8 texts; digests uint8 (N, 32). A row for each sample, in the tables' order.
    The file appears whole or not at all; memory is bounded by 1,024 rows of features.

    Raises:
        Failure: `out` exists, there is nothing to pack, or it could not be written.
        Damaged: a part or table is not what was written.
    """
    if out.exists():
        raise Failure(f"{out} exists already; choose another name or delete it")
    if not out.parent.is_dir():
        raise Failure(f"{out.parent} is not a folder; make it first")
    rows = [row for row in space.table() if row.status == "cached"]
    if not rows:
        raise Failure(f"the space {space.id} has no cached rows to pack; run an extraction first")
    classes = sorted({row.label for row in rows if row.label is not None})
    with temporary(out.parent) as unfinished:
        try:
            with h5py.File(unfinished, "w", libver="v110") as file:
                place = _write_but_features(file, space, rows, classes)
        except (OSError, RuntimeError) as error:  # HDF5 tells a full disk in either way
            reason = str(error).splitlines()[0]
            raise Failure(f"{out} could not be written: {reason}; free some space") from error
        _write_features(unfinished, place, space.index(warn), [row.digest for row in rows])
        publish(unfinished, out)
    return Packed(len(rows), classes, out.stat().st_size)


def _write_but_features(file: h5py.File, space: Space, rows: list[Row], classes: list[str]) -> int:
    """Write all but the features; return where in the file there is room for those."""
    text = h5py.string_dtype("utf-8")
    codes: dict[str | None, int] = {label: code for code, label in enumerate(classes)}
    file.attrs["space"] = space.id
    digests = b"".join(row.digest for row in rows)
    file["digests"] = np.frombuffer(digests, np.uint8).reshape(-1, 32)
    file["labels"] = np.array([codes.get(row.label, -1) for row in rows], np.int32)
    file.create_dataset("classes", data=[_encoded(label) for label in classes], dtype=text)
    file.create_dataset("paths", data=[_encoded(row.path) for row in rows], dtype=text)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    size = h5py.h5s.create_simple((len(rows), space.dimension))
    features = h5py.h5d.create(file.id, b"features", h5py.h5t.IEEE_F32LE, size, plist)
    return int(features.get_offset())


def _write_features(out: Path, place: int, index: Index, digests: list[bytes]) -> None:
    """Write the features at their place by plain writes, whose errors leave HDF5 alone."""
    with out.open("rb+") as file:
        file.seek(place)
        for start in range(0, len(digests), _ROWS_AT_ONCE):
            wanted = b"".join(digests[start : start + _ROWS_AT_ONCE])
            features = index.read(np.frombuffer(wanted, np.uint8).reshape(-1, 32))
            file.write(np.ascontiguousarray(features, "<f4").data)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
