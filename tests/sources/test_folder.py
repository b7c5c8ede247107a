"""engine.sources.folder."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from source_samples import JPEG, failure, unreadable, write_folder

from engine.sources import base, regular
from engine.sources.open import Sample, Unreadable, open_source
from engine.sources.regular import read_file


def test_flat_folder_has_no_labels(tmp_path):
    (tmp_path / "1.jpg").write_bytes(JPEG)
    assert open_source(tmp_path).samples == [Sample("1.jpg", None)]


def test_files_that_vanish_or_grow(tmp_path, monkeypatch):
    write_folder(tmp_path)
    source = open_source(tmp_path)
    (tmp_path / "Pets/Cat/1.jpg").unlink()
    assert "cannot be read: " in unreadable(source, "Pets/Cat/1.jpg")
    monkeypatch.setattr(base, "MAX_BYTES", 100)
    assert "larger" in unreadable(source, "Pets/Dog/old/1.JPG")


def link(path, target, folder=False):
    try:
        path.symlink_to(target, target_is_directory=folder)
    except OSError as error:
        pytest.skip(f"links cannot be made here: {error}")


def test_links_are_followed_but_not_in_circles(tmp_path):
    (tmp_path / "real/cat").mkdir(parents=True)
    (tmp_path / "real/cat/1.jpg").write_bytes(JPEG)
    pets = tmp_path / "pets"
    pets.mkdir()
    link(pets / "cat", tmp_path / "real/cat", folder=True)
    (pets / "dog").mkdir()
    link(pets / "dog/loop", pets, folder=True)
    link(pets / "dog/self", ".", folder=True)
    link(pets / "dog/1.jpg", tmp_path / "real/cat/1.jpg")
    link(pets / "dog/gone.jpg", tmp_path / "nowhere")
    source = open_source(pets)
    assert [(s.path, s.label) for s in source.samples] == [
        ("cat/1.jpg", "cat"),
        ("dog/1.jpg", "dog"),
        ("dog/gone.jpg", "dog"),
    ]
    assert source.read(source.samples[1]) == JPEG
    assert unreadable(source, "dog/gone.jpg")


def test_a_link_to_itself_is_one_file_that_cannot_be_read(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/1.jpg").write_bytes(JPEG)
    link(tmp_path / "cat/2.jpg", tmp_path / "cat/2.jpg")
    link(tmp_path / "cat/me", tmp_path / "cat/me")
    source = open_source(tmp_path)
    assert [s.path for s in source.samples] == ["cat/1.jpg", "cat/2.jpg"]
    assert unreadable(source, "cat/2.jpg")
    assert source.ignored == 1


def test_each_folder_is_visited_once_under_its_own_name(tmp_path):
    names = [f"class{n}" for n in range(8)]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(JPEG)
    for name in names:
        for other in names:
            link(tmp_path / name / f"a {other}", tmp_path / other, folder=True)
    link(tmp_path / "alias", tmp_path / "class0", folder=True)
    source = open_source(tmp_path)
    assert [(s.path, s.label) for s in source.samples] == [(f"{n}/1.jpg", n) for n in names]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_file_swapped_for_a_pipe_is_not_waited_for(tmp_path, monkeypatch):
    (tmp_path / "1.jpg").write_bytes(JPEG)
    source = open_source(tmp_path)
    before = (tmp_path / "1.jpg").stat()
    (tmp_path / "1.jpg").unlink()
    os.mkfifo(tmp_path / "1.jpg")
    monkeypatch.setattr(Path, "stat", lambda _: before)  # as if swapped after a look at the name
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(unreadable, source, "1.jpg")
        try:
            reason = reading.result(timeout=20)
        except TimeoutError:
            os.close(os.open(tmp_path / "1.jpg", os.O_RDWR | os.O_NONBLOCK))
            raise
    assert "not a regular file" in reason


@pytest.mark.skipif(not hasattr(os, "O_NONBLOCK"), reason="no reading without waiting here")
def test_a_device_that_looks_like_a_file_is_not_waited_for(tmp_path, monkeypatch):
    """Like /proc/kmsg: a regular file by its mode, and what it has to say may be long in coming."""
    if not Path("/dev/ptmx").exists():
        pytest.skip("no device here that would have to be waited for")
    regular_mode = stat.S_IFREG | 0o444
    link(tmp_path / "1.jpg", Path("/dev/ptmx"))
    fstat = os.fstat
    monkeypatch.setattr(
        regular.os, "fstat", lambda fd: os.stat_result((regular_mode, *fstat(fd)[1:]))
    )
    with pytest.raises(Unreadable, match="waited for"):
        read_file(tmp_path / "1.jpg")


def test_no_more_is_read_than_may_be(tmp_path, monkeypatch):
    """Files of the system say that they have 0 bytes."""
    (tmp_path / "1.jpg").write_bytes(bytes(10_000_000))
    fstat = os.fstat
    monkeypatch.setattr(
        regular.os, "fstat", lambda fd: os.stat_result((*fstat(fd)[:6], 0, *fstat(fd)[7:]))
    )
    for module in (base, regular):
        monkeypatch.setattr(module, "MAX_BYTES", 5_000)
    with pytest.raises(Unreadable, match="larger than"):
        read_file(tmp_path / "1.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "1.jpg").write_bytes(JPEG)
    source = open_source(tmp_path)
    assert source.ignored == 1
    assert "not a regular file" in unreadable(source, "pipe.jpg")
    for name in ("metadata.csv", "metadata.jsonl"):
        os.mkfifo(tmp_path / name)
    with open_source(tmp_path) as source:
        assert [sample.label for sample in source.samples] == [None, None]
        assert "metadata.csv is empty or cannot be read, and so is left out" in source.guesses
    os.mkfifo(tmp_path / "pipe.csv")
    assert "not a regular file" in failure(tmp_path / "pipe.csv")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user with limits"
)
def test_what_may_not_be_read(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "Pets/Cat/1.jpg").chmod(0)
    assert "ermission" in unreadable(open_source(tmp_path), "Pets/Cat/1.jpg")
    (tmp_path / "Pets/Dog").chmod(0)
    try:
        assert "cannot be listed" in failure(tmp_path)
    finally:
        (tmp_path / "Pets/Dog").chmod(0o755)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    (tmp_path / "cat").mkdir()
    scandir = os.scandir

    def refusing(path):
        if Path(path).name == "cat":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    message = failure(tmp_path)
    assert "cat" in message
    assert "Permission denied" in message


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.jpg", b"a\nb.jpg", "\u202egpj.exe.jpg".encode(), b"x" * 240 + b".jpg"]
)
def test_odd_names(tmp_path, name):
    folder = tmp_path / "cl\nass"
    try:
        folder.mkdir()
        (folder / os.fsdecode(name)).write_bytes(JPEG)
    except (OSError, UnicodeError) as error:
        pytest.skip(f"this system takes no such name: {error}")
    source = open_source(tmp_path)
    assert [(s.path, s.label) for s in source.samples] == [
        ("cl\nass/" + os.fsdecode(name), "cl\nass")
    ]
    assert source.read(source.samples[0]) == JPEG
