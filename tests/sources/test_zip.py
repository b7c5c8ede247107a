"""engine.sources.zip: hostile, damaged and odd zip archives."""

import struct
import zipfile
import zlib

import pytest
from source_samples import JPEG, failure, picture, reasons, zipped, zipped_in

from engine.sources import archive, zip_directory
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


def test_a_list_of_files_that_is_too_long_is_refused(tmp_path, monkeypatch):
    path = zipped(tmp_path / "a.zip", *((f"a/{n}.jpg", JPEG) for n in range(40)))
    monkeypatch.setattr(zip_directory, "MAX_DIRECTORY_BYTES", 1000)
    assert "list of files has over" in failure(path)


def test_a_zip_of_files_that_overlap_is_refused(tmp_path):
    """One file listed under many names, as in 42 kB that become 4.5 PB."""
    path = zipped(tmp_path / "a.zip", ("a/0.jpg", picture(1) * 100), ("a/1.jpg", JPEG * 100))
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        first, second = archive.infolist()
    # Both records lead to the first file: to be refused for what is read twice.
    record = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)
    assert second.header_offset == int.from_bytes(data[record + 42 : record + 46], "little")
    end = data.rindex(b"PK\5\6")
    start = int.from_bytes(data[end + 16 : end + 20], "little")
    kept, records = data[: second.header_offset], bytearray(data[start:end])
    at = record - start
    records[at + 42 : at + 46] = first.header_offset.to_bytes(4, "little")
    tail = bytearray(data[end:])
    tail[16:20] = len(kept).to_bytes(4, "little")
    path.write_bytes(kept + bytes(records) + bytes(tail))
    assert "overlap" in failure(path)


def test_a_zip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "SMALL_BYTES", 2**20)
    members = ((f"a/{n}.jpg", bytes(2**20)) for n in range(8))
    path = zipped(tmp_path / "a.zip", *members, method=zipfile.ZIP_DEFLATED)
    assert "more than 100-fold" in failure(path)


def test_a_member_that_claims_to_be_too_large_costs_itself_alone(tmp_path):
    path = zipped(tmp_path / "a.zip", ("a/1.jpg", JPEG), ("a/2.jpg", JPEG))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 24 : at + 28] = (2**32 - 2).to_bytes(4, "little")
    path.write_bytes(data)
    with open_source(path) as source:
        assert reasons(source) == {"a/1.jpg": "larger than 256 MiB", "a/2.jpg": JPEG}


@pytest.mark.parametrize(
    "encoding", ["utf-8", "cp850", "cp1252", "cp437", "cp866", "cp1251", "cp932", "gbk"]
)
def test_names_in_an_encoding_that_is_not_named(tmp_path, encoding):
    names = {
        "cp866": ["Кошки/белая.jpg", "Собаки/чёрная.jpg"],
        "cp1251": ["Кошки/белая.jpg", "Собаки/чёрная.jpg"],
        "cp932": ["ねこ/しろいねこ.jpg", "いぬ/表.jpg"],
        "gbk": ["白色的猫/照片一.jpg", "黑色的狗/照片二.jpg"],
    }.get(encoding, ["Chats à longs poils/Grégoire.jpg", "Füchse/über.jpg"])
    path = zipped_in(encoding, tmp_path / "a.zip", *((name, JPEG) for name in names))
    with open_source(path) as source:
        assert [sample.path for sample in source.samples] == sorted(names)
        assert set(reasons(source).values()) == {JPEG}
        if encoding == "utf-8":
            assert source.guesses == ()
        elif encoding != "cp437":  # the same letters as in cp850
            assert encoding in source.guesses[0]


def test_a_name_in_unicode_beside_the_old_one_counts(tmp_path):
    """Info-ZIP's extra field: the name once more, in UTF-8, with a checksum of the old one."""
    member = zipfile.ZipInfo("cat/?.jpg")
    name = "cat/猫.jpg".encode()
    body = b"\1" + zlib.crc32(b"cat/?.jpg").to_bytes(4, "little") + name
    member.extra = (0x7075).to_bytes(2, "little") + len(body).to_bytes(2, "little") + body
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(member, JPEG)
    with open_source(tmp_path / "a.zip") as source:
        assert reasons(source) == {"cat/猫.jpg": JPEG}


@pytest.mark.parametrize("words", [("猫", "犬"), ("ネコ", "イヌ"), ("ねこ", "いぬ")])
def test_short_japanese_names_of_classes_alone(tmp_path, words):
    path = zipped_in("cp932", tmp_path / "a.zip", *((f"{word}/1.jpg", JPEG) for word in words))
    with open_source(path) as source:
        assert {sample.label for sample in source.samples} == set(words)
