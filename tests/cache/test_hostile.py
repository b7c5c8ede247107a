"""A stranger's cache: it runs nothing, reads and touches nothing outside, and ends in one line."""

import contextlib
import json
import math
import random

import numpy as np
import pytest
from cache_samples import filled, resealed, vectors
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st

from cache import row_files
from cache.__main__ import main
from cache.failures import Failure
from cache.hdf5 import USER_BLOCK, file_bytes
from cache.rows import Row
from cache.store import FeatureCache

COMMANDS = (
    ["info"],
    ["verify"],
    ["compact"],
    ["gc", "--yes", "--min-age", "0"],
    ["pack"],
    ["merge"],
)


def run_all(path, capsys, code=(0, 1, 2)):
    """Run each command on a cache; return what they said. None may raise or say much."""
    said = []
    for command, *options in COMMANDS:
        arguments = [command, str(path), *options]
        if command == "pack":
            arguments.append(str(path.parent / "out.h5"))
            (path.parent / "out.h5").unlink(missing_ok=True)
        if command == "merge":
            ours = path.parent / f"ours{random.getrandbits(64)}"
            filled(ours, parts=1)
            arguments[1:2] = [str(ours), str(path)]
        assert main(arguments) in code, arguments
        said.append(capsys.readouterr().err)
        assert "Traceback" not in said[-1]
    return said


def link(path, target):
    try:
        path.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:
        pytest.skip("this user may not make links")


@pytest.mark.parametrize(
    "place",
    ["spaces", "spaces/ID", "spaces/ID/parts", "spaces/ID/datasets", "spaces/ID/datasets/KEY",
     "spaces/ID/notes", "spaces/ID/damaged", "heads"],
)  # fmt: skip
def test_folders_that_are_links_are_refused(tmp_path, capsys, place):
    space = filled(tmp_path / "c", parts=2)
    space.write_note("parity", {"cosine": 1})
    key = next((space.path / "datasets").iterdir()).name
    folder = tmp_path / "c" / place.replace("ID", space.id).replace("KEY", key)
    target = tmp_path / "precious"
    if folder.exists():
        folder.rename(target)
    target.mkdir(exist_ok=True)
    (target / ".tmp-precious").write_bytes(b"mine")
    (target / "precious.h5").write_bytes(b"mine")
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    link(folder, target)
    said = run_all(tmp_path / "c", capsys)
    refused = [line for line in said if "is a link, and a cache has none inside" in line]
    assert len(refused) == len(COMMANDS) - ("KEY" in place)  # compact needs no rows
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before


def test_files_that_are_links_are_not_followed(tmp_path, capsys):
    space = filled(tmp_path / "c", parts=2)
    target = tmp_path / "precious"
    part = space.part_paths()[0]
    part.rename(target)
    before = target.read_bytes()
    link(part, target)
    link(space.path / "model.onnx", target)
    link(space.path / "parts" / ".tmp-1", target)
    assert main(["verify", str(tmp_path / "c")]) == 1
    assert "is not a regular file" in capsys.readouterr().out
    run_all(tmp_path / "c", capsys)
    assert target.read_bytes() == before


@pytest.mark.parametrize("name", ["..", "../../x", "/etc/passwd", "C:\\x", "nul", "a\0b", "\u202e"])
def test_names_of_datasets_lead_nowhere(tmp_path, name):
    space = filled(tmp_path / "c", parts=1)
    writer = space.write_dataset(name)
    writer.append([Row("x", None, b"", "rejected", "no")])
    writer.finish()
    assert name in space.datasets()
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    assert {path.name for path in (tmp_path / "c").iterdir()} == {"cache.json", "spaces"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
changes = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "splice", "zero"]), st.integers(0), st.integers(0)),
    max_size=3,
)


def mutated(data, wanted):
    """Return bytes after some changes of theirs."""
    data = bytearray(data)
    for kind, a, b in wanted:
        a, b = a % (len(data) + 1), b % (len(data) + 1)
        if kind == "cut":
            del data[a:]
        elif kind == "splice":
            data[a:a] = data[b : b + 100]
        elif kind == "zero":
            data[a : a + 8] = bytes(8)
        elif a < len(data):
            data[a] ^= 1 << b % 8
    return bytes(data)


def changed_record(data, path, value):
    """Return a record with one of its values replaced, sealed again."""
    record = json.loads(data)
    keys = sorted(set(record) - {"sha256"})
    key = keys[path[0] % len(keys)]
    if isinstance(record[key], dict) and record[key] and len(path) > 1:
        inner = sorted(record[key])
        return resealed(data, **{key: {**record[key], inner[path[1] % len(inner)]: value}})
    return resealed(data, **{key: value})


class Victim:
    """A sound cache with one file of each kind, and their bytes."""

    def __init__(self, path, space, files):
        self.path, self.space, self.files = path, space, files

    def damage(self, which, change):
        """Replace one of the files by what `change` makes of it."""
        path = sorted(self.files)[which % len(self.files)]
        path.write_bytes(change(self.files[path]))

    def restore(self):
        for file in self.path.rglob("*"):
            if file.is_file() and file not in self.files:
                file.unlink()
        for file, data in self.files.items():
            if not file.exists() or file.read_bytes() != data:
                file.write_bytes(data)


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    space = filled(tmp_path_factory.mktemp("victim") / "c", parts=1)
    space.write_note("parity", {"cosine": 0.5})
    path = space.path.parents[1]
    files = [file for file in path.rglob("*") if file.is_file()]
    return Victim(path, space, {file: file.read_bytes() for file in sorted(files)})


def read_everything(path):
    """Read a cache as the commands do; Failure is how it may refuse."""
    digests, _ = vectors(10)
    with contextlib.suppress(Failure):
        for space in FeatureCache.open(path).spaces():
            for read in (space.notes, space.rows, space.datasets, lambda s=space: title(s)):
                with contextlib.suppress(Failure):
                    read()
            index = space.index()
            with contextlib.suppress(Failure):
                index.read(digests[index.contains(digests)])


def title(space):
    return space.title + str(space.companion_digests)


@FUZZ
@given(st.integers(0), changes)
def test_any_bytes_in_any_file_are_read_or_refused(victim, which, wanted):
    victim.damage(which, lambda data: mutated(data, wanted))
    read_everything(victim.path)
    victim.restore()


@FUZZ
@given(st.integers(0), st.lists(st.integers(0), min_size=1, max_size=2), json_values)
def test_any_value_in_any_record_is_read_or_refused(victim, which, place, value):
    def change(data):
        size = USER_BLOCK if b"HDF" in data else len(data)
        return changed_record(data[:size], place, value) + data[size:]

    victim.damage(which, change)
    read_everything(victim.path)
    victim.restore()


COLUMNS = [name for name, _, _ in row_files.COLUMNS]


@FUZZ
@given(st.sampled_from(COLUMNS), changes)
def test_any_column_of_a_table_is_read_or_refused(victim, name, wanted):
    segment = next(file for file in victim.files if "-whole-" in file.name)
    columns = row_files.read_columns(segment)
    dtype, rest = columns[name].dtype, columns[name].shape[1:]
    width = dtype.itemsize * math.prod(rest)
    data = mutated(columns[name].tobytes(), wanted)
    data = data[: len(data) // width * width]
    columns[name] = np.frombuffer(data, dtype).reshape(-1, *rest)
    segment.write_bytes(file_bytes("table", {"checksum": row_files.checksum(columns)}, columns))
    with contextlib.suppress(Failure):
        for row in victim.space.rows():
            assert len(row.digest) in (0, 32)
    victim.restore()


@FUZZ
@given(st.integers(0), changes, st.sampled_from(COMMANDS))
@pytest.mark.slow
def test_every_command_on_a_hostile_cache_ends_in_one_line(victim, capsys, which, wanted, command):
    victim.damage(which, lambda data: mutated(data, wanted))
    folder, (name, *options) = victim.path.parent, command
    (folder / "out.h5").unlink(missing_ok=True)
    if not (folder / "other").exists():
        filled(folder / "other", parts=2)
    places = {"pack": [victim.path, folder / "out.h5"], "merge": [folder / "other", victim.path]}
    order = [name, *map(str, places.get(name, [victim.path])), *options]
    assert main(order) in (0, 1, 2)
    assert "Traceback" not in capsys.readouterr().err
    victim.restore()
