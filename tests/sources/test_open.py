"""engine.sources.open: folders and tables; that the same pictures are the same in every kind."""

import io
import tarfile
import zipfile

import pytest
from source_samples import FILES, IMAGES, JPEG, failure, write_folder

from engine.images.decode import Rejected, decode
from engine.sources.open import inputs, open_source


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


def test_what_is_no_source(tmp_path):
    assert "there is no" in failure(tmp_path / "missing")
    assert "there is no" in failure(tmp_path / "file\n\x1b[2J")
    assert "cannot be read" in failure("a\0b")
    (tmp_path / "photo.jpg").write_bytes(JPEG)
    assert "one image and no source" in failure(tmp_path / "photo.jpg")
    (tmp_path / "empty").mkdir()
    assert "holds no images" in failure(tmp_path / "empty")
    for name in ("a.zip", "a.tar", "a.tar.gz", "a"):
        (tmp_path / name).write_bytes(b"")
        failure(tmp_path / name)
        (tmp_path / name).write_bytes(b"nonsense" * 200)
        failure(tmp_path / name)


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


def test_who_classifies_is_asked_nothing_about_labels(tmp_path):
    """Folders that may be classes or splits, and a table without labels."""
    for name in ("bus", "train/old", "train/new"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        (tmp_path / "pets" / name / "1.jpg").write_bytes(JPEG)
    (tmp_path / "all.csv").write_text("path,a,b\npets/bus/1.jpg,0.5,x\n")
    given = [str(tmp_path / "pets"), str(tmp_path / "all.csv")]
    entries = [(entry.prefix, [s.path for s in entry.source.samples]) for entry in inputs(given)]
    assert entries == [
        (f"{tmp_path}/pets/", ["bus/1.jpg", "train/new/1.jpg", "train/old/1.jpg"]),
        (f"{tmp_path}/", ["pets/bus/1.jpg"]),
    ]
