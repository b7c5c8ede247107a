"""engine.sources.folder."""

import os
from pathlib import Path

import pytest
from source_samples import JPEG, failure, unreadable, write_folder

from engine.sources import base
from engine.sources.open import Sample, open_source


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "1.jpg").write_bytes(JPEG)
    source = open_source(tmp_path)
    assert source.ignored == 1
    assert unreadable(source, "pipe.jpg") == "not a regular file"
    os.mkfifo(tmp_path / "pipe.csv")
    assert "no known kind" in failure(tmp_path / "pipe.csv")


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
