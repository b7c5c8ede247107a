"""engine.sources.layout and engine.images.formats: which files are images, and of which class."""

import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st

from engine.images.formats import has_image_name, image_format
from engine.sources.base import BY_ITSELF
from engine.sources.layout import ignored_kind, listing

JPEG = b"\xff\xd8\xff\xe0"


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["cat/1.jpg", "dog/1.jpg"], ["cat", "dog"]),
        (["PetImages/Cat/1.jpg", "PetImages/Dog/1.jpg"], ["Cat", "Dog"]),
        (["a/b/c/cat/1.jpg", "a/b/c/dog/1.jpg"], ["cat", "dog"]),
        (["1.jpg", "2.jpg"], [None, None]),
        (["cat/1.jpg"], ["cat"]),
        (["cat/1.jpg", "cat/old/young/2.jpg", "dog/1.jpg"], ["cat", "cat", "dog"]),
        (["PetImages/Cat/1.jpg", "PetImages/Dog/1.jpg", "cover.png"], ["Cat", "Dog", None]),
        (["P/Cat/1.jpg", "P/Dog/1.jpg", "P/cover.png"], ["Cat", "Dog", None]),
        (["train/cat/1.jpg", "train/dog/1.jpg", "test/cat/2.jpg"], ["cat", "cat", "dog"]),
        (["d/Train/cat/1.jpg", "d/Validation/dog/2.jpg"], ["cat", "dog"]),
        (["train/1.jpg", "test/2.jpg"], [None, None]),
        (["train/1.jpg", "cat/2.jpg"], ["cat", "train"]),
        (["/cat/1.jpg", "./dog/1.jpg"], ["dog", "cat"]),
        (["C:/p/cat/1.jpg", "C:/p/dog/1.jpg"], ["cat", "dog"]),
        (["../up/1.jpg", "p/cat/1.jpg", "p/dog/1.jpg"], [None, "cat", "dog"]),
    ],
)
def test_classes(names, labels):
    samples = listing(sorted(names), BY_ITSELF).samples
    assert [s.path for s in samples] == sorted(names)
    assert [s.label for s in samples] == labels


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("cat/1.jpg", b"", True),
        ("cat/1.JPEG", b"", True),
        ("cat/1.heic", b"", True),
        ("cat/1", JPEG, True),
        ("cat/1.dat", JPEG, True),
        ("cat/1.jpg.txt", b"no", False),
        ("cat/Thumbs.db", b"\xd0\xcf\x11\xe0", False),
        ("cat/.DS_Store", b"\0\0\0\1Bud1", False),
        ("cat/jpg", b"", False),
        ("cat/.jpg", b"", True),
        ("cat/.hidden.png", b"", True),
        ("cat/._1.jpg", JPEG, False),
        ("__MACOSX/cat/1.jpg", JPEG, False),
        (".ipynb_checkpoints/1.jpg", JPEG, False),
        ("cat/@eaDir/1.jpg", JPEG, False),
        ("./cat/1.jpg", b"", True),
        ("../1.jpg", b"", True),
    ],
)
def test_samples(name, head, expected):
    assert (ignored_kind(name, lambda: head) is None) is expected


def test_content_is_not_read_where_the_name_tells():
    def head():
        raise AssertionError

    assert ignored_kind("a/1.png", head) is None


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (JPEG, "JPEG"),
        (b"GIF89a", "GIF"),
        (b"RIFF\0\0\0\0WEBP", "WEBP"),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"BM" + bytes(12) + b"\x28\0\0\0", "BMP"),
        (b"BM is text", None),
        (b"\0\0\0\x1cftypavif", "AVIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x18ftypheic", "HEIF"),
        (b"", None),
    ],
)
def test_formats(head, form):
    assert image_format(head) == form


@FUZZ
@given(st.lists(st.text(st.sampled_from("ab./\\:é\n"), max_size=12), unique=True))
def test_any_names_have_a_class_of_their_own_folders(names):
    samples = listing(sorted(names), BY_ITSELF).samples
    assert [s.path for s in samples] == sorted(names)
    for sample in samples:
        folders = [folder.strip() for folder in sample.path.split("/")[:-1]]
        assert sample.label is None or sample.label in folders
        assert sample.label != ""


@FUZZ
@given(st.text(max_size=9), st.binary(max_size=80))
def test_any_name_and_content_can_be_told(name, head):
    assert has_image_name(name) in (True, False)
    assert isinstance(ignored_kind(name, lambda: head), str | None)
