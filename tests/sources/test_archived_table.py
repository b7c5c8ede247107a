"""Tables whose images are in an archive."""

import hashlib
import io
import tarfile
import zipfile

import pytest

from cache.failures import Failure
from engine.sources.base import SourceOptions, Unreadable
from engine.sources.open import open_source

FILES = {f"photos/{label}/{n}.jpg": f"{label}{n}".encode() * 9 for label in "ab" for n in range(3)}


def packed(path, mode):
    if mode == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in FILES.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, mode) as archive:
        for name, data in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def table(tmp_path):
    """Corrected labels: one changed, one left out, one of no image."""
    rows = [(name, name.split("/")[1]) for name in FILES][1:]
    rows[0] = (rows[0][0], "b")
    lines = ["path,label", *(f"{name},{label}" for name, label in rows), "photos/a/9.jpg,a"]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "labels.csv"


@pytest.mark.parametrize(("name", "mode"), [("pets.zip", "zip"), ("pets.tar", "w")])
def test_a_tables_images_may_be_in_an_archive(tmp_path, table, name, mode):
    base = packed(tmp_path / name, mode)
    with open_source(table, SourceOptions(base=str(base))) as source, open_source(base) as whole:
        read = {s.path: s for s in source.samples}
        assert read["photos/a/1.jpg"].label == "b"
        assert "photos/a/0.jpg" not in read
        missing = read.pop("photos/a/9.jpg")
        for path, sample in read.items():
            data = source.read(sample)
            assert hashlib.sha256(data).digest() == hashlib.sha256(FILES[path]).digest()
            assert source.size(sample) == len(FILES[path])
            assert source.stat(sample) == whole.stat(sample)  # of the archive, once it is settled
        with pytest.raises(Unreadable, match="no image of the archive has this path"):
            source.read(missing)
        assert (source.size(missing), source.stat(missing)) == (None, None)
        assert str(base) in source.advice


def test_an_archive_that_is_read_in_its_order_alone_is_refused(tmp_path, table):
    base = packed(tmp_path / "pets.tar.gz", "w:gz")
    base.write_bytes(base.read_bytes()[:20])  # and before more of it is unpacked than that
    with pytest.raises(Failure, match="unpack it, and give its folder as the base"):
        open_source(table, SourceOptions(base=str(base)))


def test_another_file_is_no_base(tmp_path, table):
    (tmp_path / "notes.txt").write_text("no archive")
    with pytest.raises(Failure, match="is no sound archive"):
        open_source(table, SourceOptions(base=str(tmp_path / "notes.txt")))
