"""Records and the files that begin with one: every changed bit is found, none does harm."""

import hashlib
import json
import os

import h5py
import numpy as np
import pytest
from cache_samples import filled, resealed

from cache.failures import Failure
from cache.files import Damaged
from cache.hdf5 import USER_BLOCK
from cache.record import read_record, sealed, unsealed, write_record
from cache.row_files import read_rows
from cache.space import Space
from cache.store import FeatureCache

FIELDS = {"name": "caf\xe9 \ud800", "numbers": [1e-05, 2], "sha256_of": "0" * 64}


def test_a_record_says_what_was_written(tmp_path):
    write_record(tmp_path / "r.json", "thing", FIELDS)
    assert read_record(tmp_path / "r.json", "thing") == FIELDS
    record = json.loads((tmp_path / "r.json").read_bytes())
    assert list(record)[:3] == ["format", "version", "sha256"]
    assert (record["format"], record["version"]) == ("onceover-thing", 2)


@pytest.mark.parametrize("size", [None, USER_BLOCK])
def test_every_changed_bit_of_a_record_is_found(tmp_path, size):
    data = sealed("thing", FIELDS, size)
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            with pytest.raises(Damaged):
                unsealed(bytes(changed), tmp_path, "thing")


def test_a_record_that_does_not_fit_is_not_written():
    with pytest.raises(ValueError, match="does not fit"):
        sealed("thing", {"name": "x" * 1000}, USER_BLOCK)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"sha256": 3}',
        b'{"sha256": "' + b"0" * 64 + b'"}',
        b'{"a": ' + b"9" * 5000 + b"}",
        sealed("other", {}),
        resealed(sealed("thing", {}), version="1"),
        resealed(sealed("thing", {}), version=True),
        resealed(sealed("thing", {}), version=-1),
        resealed(sealed("thing", {}), version=1e400),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, data):
    (tmp_path / "r.json").write_bytes(data)
    with pytest.raises(Damaged, match=r"r\.json"):
        read_record(tmp_path / "r.json", "thing")


def test_an_endless_record_is_not_read(tmp_path):
    with (tmp_path / "r.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(Damaged, match="larger than"):
        read_record(tmp_path / "r.json", "thing")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path, caplog):
    space = filled(tmp_path / "c", parts=1)
    path = space.part_paths()[0]
    path.unlink()
    os.mkfifo(path)
    assert len(space.index()) == 0
    assert "not a regular file" in caplog.text


def kinds(space):
    """Return the files of a cache, one of each kind."""
    return {
        "cache": space.path.parents[1] / "cache.json",
        "space": space.path / "space.json",
        "note": space.path / "notes" / "parity.json",
        "dataset": next((space.path / "datasets").glob("*/dataset.json")),
        "part": space.part_paths()[0],
        "table": next((space.path / "datasets").glob("*/*.h5")),
    }


@pytest.mark.parametrize("kind", ["cache", "space", "note", "dataset", "part", "table"])
def test_a_newer_format_is_refused_in_every_file(tmp_path, kind):
    space = filled(tmp_path / "c", parts=1)
    space.write_note("parity", {"cosine": 1})
    path = kinds(space)[kind]
    data = path.read_bytes()
    if path.suffix == ".h5":
        path.write_bytes(resealed(data[:USER_BLOCK], version=3) + data[USER_BLOCK:])
    else:
        path.write_bytes(resealed(data, version=3))
    with pytest.raises(Failure, match="format version 3, this release reads up to 2") as failure:
        read_everything(tmp_path / "c")
    assert "\n" not in str(failure.value)


def read_everything(path):
    for space in FeatureCache.open(path).spaces():
        space.index()
        space.notes()
        space.rows()


def hostile(path, changes):
    """Replace facts or places in the record of an HDF5 file, sealing it again."""
    data = path.read_bytes()
    path.write_bytes(resealed(data[:USER_BLOCK], **changes) + data[USER_BLOCK:])


@pytest.mark.parametrize(
    "place",
    [
        [[2**40, 32], 2048],
        [[2**62, 2**62], 2048],
        [[4, 32], 2**70],
        [[4, 32], -1],
        [[-4, 32], 2048],
        [[True, 32], 2048],
        [[1.0, 32], 2048],
        [[4, 31], 2048],
        [[4], 2048],
        [[4, 32]],
        ["ab", 2048],
        None,
        {},
    ],
)
def test_places_are_checked_before_memory_is_taken(tmp_path, place, caplog):
    space = filled(tmp_path / "c", parts=1)
    path = space.part_paths()[0]
    hostile(path, {"arrays": {"digests": place}})
    assert len(space.index()) == 0
    assert "is damaged" in caplog.text
    assert [aside.name for aside in (space.path / "damaged").iterdir()] == [path.name]


def external_link(file, name, _):
    file[name] = h5py.ExternalLink(__file__, name)


def external_storage(file, name, array):
    file.create_dataset(name, array.shape, array.dtype, external=[(__file__, 0, array.nbytes)])


def virtual(file, name, array):
    layout = h5py.VirtualLayout(array.shape, array.dtype)
    layout[:] = h5py.VirtualSource(__file__, name, array.shape, array.dtype)
    file.create_virtual_dataset(name, layout)


def filtered(file, name, array):
    file.create_dataset(name, data=array, compression="gzip")


@pytest.mark.parametrize("make", [external_link, external_storage, virtual, filtered])
def test_a_strangers_hdf5_reads_no_other_file(tmp_path, make, caplog):
    """Only the record's places count; what libhdf5 would do with the file is never asked."""
    space = filled(tmp_path / "c", parts=1)
    path = space.part_paths()[0]
    record = path.read_bytes()[:USER_BLOCK]
    with h5py.File(path) as file:
        arrays = {name: file[name][()] for name in file}
    with h5py.File(path, "w", libver="v110", userblock_size=USER_BLOCK) as file:
        for name, array in arrays.items():
            make(file, name, array)
    path.write_bytes(record + path.read_bytes()[USER_BLOCK:])
    assert len(space.index()) == 0
    assert "is damaged" in caplog.text


def test_an_ordinary_hdf5_file_is_no_part(tmp_path, caplog):
    space = filled(tmp_path / "c", parts=1)
    path = space.part_paths()[0]
    with h5py.File(path, "w") as file:
        file["digests"] = np.zeros((4, 32), np.uint8)
        file["features"] = np.zeros((4, 8), np.float32)
    assert len(space.index()) == 0
    assert "it is no record" in caplog.text


@pytest.mark.parametrize("dimension", [0, -1, 2**24 + 1, 10**400, 1e400, "8", None, True])
def test_a_space_of_an_impossible_size_is_refused(tmp_path, dimension):
    space = filled(tmp_path / "c", parts=1)
    path = space.path / "space.json"
    path.write_bytes(resealed(path.read_bytes(), dimension=dimension))
    with pytest.raises(Damaged, match=r"space\.json"):
        Space.open(space.path)


@pytest.mark.parametrize("depth", [200, *range(900, 1010, 5), 50_000])
def test_a_description_too_deep_is_refused(tmp_path, depth):
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    head = b'{"format": "onceover-space", "version": 1, "sha256": "' + b"0" * 64 + b'", '
    blank = head + b'"description": ' + deep + b', "dimension": 8}'
    digest = hashlib.sha256(blank).hexdigest().encode()
    (tmp_path / "space.json").write_bytes(blank.replace(b"0" * 64, digest, 1))
    with pytest.raises(Damaged):
        Space.open(tmp_path)


def crafted_rows(tmp_path, **columns):
    """Write a file of three rows with other columns, and the checksum that goes with them."""
    from cache import row_files
    from cache.hdf5 import file_bytes
    from cache.rows import Row

    rows = [Row(name, "a", b"\1" * 32, "cached") for name in ("x", "yy", "zzz")]
    path = tmp_path / "rows.h5"
    path.write_bytes(row_files.rows_bytes(row_files.RowColumns(rows)))
    found = row_files.read_columns(path)
    found |= {name: np.asarray(value, found[name].dtype) for name, value in columns.items()}
    path.write_bytes(file_bytes("table", {"checksum": row_files.checksum(found)}, found))
    return path


@pytest.mark.parametrize(
    "columns",
    [
        {"paths_ends": [6, 0, 6]},
        {"paths_ends": [1, 3, 2**62]},
        {"paths_ends": [-1, 3, 6]},
        {"paths_ends": [1, 3]},
        {"label": [0, 0, 1]},
        {"label": [0, 0]},
        {"reason": [5, 0, 0]},
        {"status": [0, 0, 2]},
        {"digest": np.zeros((3, 32))},
        {"digest": np.ones((2, 32))},
        {"digest": np.ones((4, 32))},
        {"paths": [255] * 6},
        {"split": [0, 0, 4]},
        {"split": [0, 0]},
        {"stat": np.zeros((2, 4))},
    ],
)
def test_a_strangers_rows_are_refused(tmp_path, columns):
    assert len(read_rows(crafted_rows(tmp_path))) == 3
    with pytest.raises(Damaged, match=r"rows\.h5 is damaged"):
        read_rows(crafted_rows(tmp_path, **columns))
