"""engine.sources.open: folders and tables; that the same pictures are the same in every kind."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cache.failures import Failure
from engine.images.decode import Rejected, decode
from engine.sources import base as samples_module
from engine.sources.open import Sample, Unreadable, open_source


def jpeg(level=0):
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (level, 90, 200)).save(file, "JPEG")
    return file.getvalue()


FILES = {
    "Pets/Cat/1.jpg": jpeg(1),
    "Pets/Cat/2.png": b"",
    "Pets/Cat/Thumbs.db": b"\xd0\xcf\x11\xe0",
    "Pets/Dog/no extension": jpeg(2),
    "Pets/Dog/old/1.JPG": jpeg(3),
    "Pets/Dog/.DS_Store": b"\0\0\0\1Bud1",
    "Pets/read me.txt": b"These are pets.",
    "__MACOSX/Pets/Cat/._1.jpg": b"\0\5\x16\7",
}
IMAGES = [
    ("Pets/Cat/1.jpg", "Cat"),
    ("Pets/Cat/2.png", "Cat"),
    ("Pets/Dog/no extension", "Dog"),
    ("Pets/Dog/old/1.JPG", "Dog"),
]


def write_folder(path):
    for name, data in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def write_zip(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)


def write_tar(path):
    with tarfile.open(
        path, "w" + {".gz": ":gz", ".bz2": ":bz2", ".xz": ":xz"}.get(path.suffix, "")
    ) as archive:
        for name, data in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


KINDS = {
    "folder": write_folder,
    "pets.zip": write_zip,
    "pets.tar": write_tar,
    "pets.tar.gz": write_tar,
    "pets.tar.bz2": write_tar,
    "pets.tar.xz": write_tar,
    "no suffix": write_zip,
}


@pytest.mark.parametrize("name", KINDS)
def test_the_same_in_every_kind_of_source(tmp_path, name):
    KINDS[name](tmp_path / name)
    with open_source(str(tmp_path / name)) as source:
        assert source.location == tmp_path / name
        assert [(s.path, s.label) for s in source.samples] == IMAGES
        assert source.ignored == 4
        assert source.sequential == name.endswith((".gz", ".bz2", ".xz"))
        for sample in source.samples:
            assert source.read(sample) == FILES[sample.path]
        for sample in reversed(source.samples):  # slower in a packed tar, and right all the same
            assert source.read(sample) == FILES[sample.path]


def failure(path):
    with pytest.raises(Failure) as raised:
        open_source(path)
    message = str(raised.value)
    assert "\n" not in message
    assert raised.value.exit_code == 1
    return message


def test_what_is_no_source(tmp_path):
    assert "there is no" in failure(tmp_path / "missing")
    assert "there is no" in failure(tmp_path / "file\n\x1b[2J")
    assert "cannot be read" in failure("a\0b")
    (tmp_path / "photo.jpg").write_bytes(jpeg())
    assert "no known kind" in failure(tmp_path / "photo.jpg")
    (tmp_path / "empty").mkdir()
    assert "holds no images" in failure(tmp_path / "empty")
    for name in ("a.zip", "a.tar", "a.tar.gz", "a"):
        (tmp_path / name).write_bytes(b"")
        failure(tmp_path / name)
        (tmp_path / name).write_bytes(b"nonsense" * 200)
        failure(tmp_path / name)


def test_flat_folder_has_no_labels(tmp_path):
    (tmp_path / "1.jpg").write_bytes(jpeg())
    assert open_source(tmp_path).samples == [Sample("1.jpg", None)]


def unreadable(source, path):
    (sample,) = [s for s in source.samples if s.path == path]
    with pytest.raises(Unreadable) as raised:
        source.read(sample)
    assert "\n" not in raised.value.reason
    return raised.value.reason


def test_files_that_vanish_or_grow(tmp_path, monkeypatch):
    write_folder(tmp_path)
    source = open_source(tmp_path)
    (tmp_path / "Pets/Cat/1.jpg").unlink()
    assert "cannot be read: " in unreadable(source, "Pets/Cat/1.jpg")
    monkeypatch.setattr(samples_module, "MAX_BYTES", 100)
    assert "larger" in unreadable(source, "Pets/Dog/old/1.JPG")


def link(path, target, folder=False):
    try:
        path.symlink_to(target, target_is_directory=folder)
    except OSError as error:
        pytest.skip(f"links cannot be made here: {error}")


def test_links_are_followed_but_not_in_circles(tmp_path):
    (tmp_path / "real/cat").mkdir(parents=True)
    (tmp_path / "real/cat/1.jpg").write_bytes(jpeg())
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
    assert source.read(source.samples[1]) == jpeg()
    assert unreadable(source, "dog/gone.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "1.jpg").write_bytes(jpeg())
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
        (folder / os.fsdecode(name)).write_bytes(jpeg())
    except (OSError, UnicodeError) as error:
        pytest.skip(f"this system takes no such name: {error}")
    source = open_source(tmp_path)
    assert [(s.path, s.label) for s in source.samples] == [
        ("cl\nass/" + os.fsdecode(name), "cl\nass")
    ]
    assert source.read(source.samples[0]) == jpeg()


def table(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_csv(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/ä,1.jpg").write_bytes(jpeg(1))
    (tmp_path / "2.jpg").write_bytes(jpeg(2))
    text = (
        '\ufefflabel,note,path\r\ncat,,"in/ä,1.jpg"\r\n\r\n'
        f'"d\nog",x,{tmp_path / "2.jpg"}\r\n,,missing.jpg\r\n'
    )
    source = open_source(table(tmp_path, text))
    assert [(s.path, s.label) for s in source.samples] == [
        ("in/ä,1.jpg", "cat"),
        (str(tmp_path / "2.jpg"), "d\nog"),
        ("missing.jpg", None),
    ]
    assert source.read(source.samples[0]) == jpeg(1)
    assert source.read(source.samples[1]) == jpeg(2)
    assert unreadable(source, "missing.jpg")
    assert source.ignored == 0


def test_one_csv_row_twice_is_two_samples(tmp_path):
    assert len(open_source(table(tmp_path, "path,label\na,b\na,b\n")).samples) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "first line path,label; it has none"),
        ("a.jpg,cat\n", "it has a.jpg,cat"),
        ("path;label\na.jpg;cat\n", "it has path;label"),
        ("path,label,label\n", "first line"),
        ("path,label\n", "holds no images"),
        ("path,label\na.jpg,cat\nb.jpg\n", "line 3"),
        ("path,label\na,b.jpg,cat\n", "line 2: not 2 values"),
        ('path,label\n"a\nb",cat\n,cat\n', "line 4: no path"),
        ("path,label\na,cat\nb,dog\na,dog\n", "line 4: a is dog here and cat on line 2"),
        ('path,label\n"a,cat\n', "CSV"),
        ('path,label\n"a"b,cat\n', "after line 1"),
        ("path,label\n" + "x" * 200_000 + ",cat\n", "after line 1"),
    ],
)
def test_csv_failures_name_the_line(tmp_path, text, words):
    assert words in failure(table(tmp_path, text))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_csv_in_another_encoding(tmp_path, encoding):
    assert "UTF-8" in failure(table(tmp_path, "path,label\nä.jpg,cat\n", encoding))


def test_a_csv_path_of_a_folder(tmp_path):
    source = open_source(table(tmp_path, "path,label\n.,cat\n"))
    assert unreadable(source, ".")


@FUZZ
@given(
    st.one_of(
        st.binary(max_size=200), st.binary(max_size=60).map(lambda tail: b"path,label\n" + tail)
    )
)
def test_any_bytes_as_csv_open_or_fail_cleanly(tmp_path, data):
    path = tmp_path / "any.csv"
    path.write_bytes(data)
    try:
        source = open_source(path)
    except Failure as failed:
        message = str(failed)
    else:
        message = ""
        assert source.samples
        for sample in source.samples:
            assert sample.path
    assert "\n" not in message


def test_the_photographs(shared_data):
    with open_source(shared_data / "cats-dogs-2000.zip") as source:
        assert len(source.samples) == 2002
        assert source.ignored == 2
        assert {s.label for s in source.samples} == {"Cat", "Dog"}
        by_path = {s.path: s for s in source.samples}
        for path in ("PetImages/Cat/1001.jpg", "PetImages/Dog/1001.jpg"):
            with pytest.raises(Rejected):
                decode(source.read(by_path[path]), (224, 224), "bilinear")
        pixels = decode(source.read(by_path["PetImages/Dog/1.jpg"]), (224, 224), "bilinear")
        assert pixels.shape == (224, 224, 3)
