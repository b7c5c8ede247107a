"""engine.sources.zip: hostile, damaged and odd zip archives."""

import struct
import zipfile

import pytest
from source_samples import JPEG, failure, picture, reasons, zipped

from engine.sources.open import open_source


def test_damaged_member(tmp_path):
    path = zipped(tmp_path / "a.zip", ("a/1.jpg", JPEG), ("a/2.jpg", picture(9)))
    data = bytearray(path.read_bytes())
    data[data.index(JPEG) + 50] ^= 1
    path.write_bytes(data)
    with open_source(path) as source:
        assert "damaged in the archive: Bad CRC" in reasons(source)["a/1.jpg"]
        assert reasons(source)["a/2.jpg"] == picture(9)


def altered(path, offset, value):
    """Overwrite a field of all headers of a zip archive, by its offset in the central one."""
    data = bytearray(path.read_bytes())
    for magic, at in ((b"PK\1\2", offset), (b"PK\3\4", offset - 2)):
        start = data.find(magic)
        while start >= 0:
            data[start + at : start + at + len(value)] = value
            start = data.find(magic, start + 4)
    path.write_bytes(data)
    return path


def test_encrypted_members(tmp_path):
    path = altered(zipped(tmp_path / "a.zip", ("a/1.jpg", JPEG), ("a/x", JPEG)), 8, b"\1\0")
    with open_source(path) as source:
        assert "encrypted" in reasons(source)["a/1.jpg"]
        assert source.ignored == 1


def test_unsupported_method(tmp_path):
    path = altered(zipped(tmp_path / "a.zip", ("a/1.jpg", JPEG)), 10, struct.pack("<H", 97))
    with open_source(path) as source:
        assert "method 97" in reasons(source)["a/1.jpg"]


def test_sizes_that_lie(tmp_path):
    for claimed in (5, 2**32 - 2):
        path = altered(
            zipped(tmp_path / "a.zip", ("a/1.jpg", JPEG)), 24, struct.pack("<L", claimed)
        )
        with open_source(path) as source:
            assert isinstance(reasons(source)["a/1.jpg"], str)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_and_zip64(tmp_path, method):
    path = tmp_path / "a.zip"
    with (
        zipfile.ZipFile(path, "w", method) as archive,
        archive.open("a/1.jpg", "w", force_zip64=True) as file,
    ):
        file.write(JPEG)
    with open_source(path) as source:
        assert reasons(source) == {"a/1.jpg": JPEG}


def test_links_in_zip_are_not_followed(tmp_path):
    path = tmp_path / "a.zip"
    member = zipfile.ZipInfo("a/1.jpg")
    member.create_system = 3
    member.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, "/etc/passwd")
        archive.writestr("a/2.jpg", JPEG)
    with open_source(path) as source:
        assert reasons(source) == {"a/1.jpg": "a link or a device, not a file", "a/2.jpg": JPEG}


def test_backslashes_are_slashes_in_zip(tmp_path):
    path = zipped(tmp_path / "a.zip", ("p/cat/1.jpg", JPEG), ("p/dog/1.jpg", JPEG))
    data = path.read_bytes()
    for name in (b"p/cat/1.jpg", b"p/dog/1.jpg"):
        data = data.replace(name, name.replace(b"/", b"\\"))
    path.write_bytes(data)
    with open_source(path) as source:
        assert [(s.path, s.label) for s in source.samples] == [
            ("p/cat/1.jpg", "cat"),
            ("p/dog/1.jpg", "dog"),
        ]
        assert set(reasons(source).values()) == {JPEG}


def test_names_that_are_not_utf8_in_zip(tmp_path):
    path = zipped(tmp_path / "a.zip", ("cat/xx.jpg", JPEG))
    path.write_bytes(path.read_bytes().replace(b"xx", b"\xff\x80"))
    with open_source(path) as source:
        assert list(reasons(source).values()) == [JPEG]


def test_an_empty_zip_holds_no_images(tmp_path):
    assert "holds no images" in failure(zipped(tmp_path / "a.zip"))
