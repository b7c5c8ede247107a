"""engine.sources.archives and engine.sources.tar: hostile, damaged and odd archives."""

import gzip
import io
import random
import struct
import tarfile
import tempfile
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cache.failures import Failure
from engine.sources import archives, tar
from engine.sources import base as samples
from engine.sources.open import Unreadable, open_source


def picture(level=0):
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (level, 90, 200)).save(file, "JPEG")
    return file.getvalue()


JPEG = picture()


def zipped(path, *members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def info(name, size=0, **attributes):
    member = tarfile.TarInfo(name)
    member.size = size
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    return member


def tarred(path, *members, mode="w", **options):
    with tarfile.open(path, mode, **options) as archive:
        for member, data in members:
            if isinstance(member, str):
                member = info(member, len(data))
            archive.addfile(member, io.BytesIO(data))
    return path


def failure(path):
    with pytest.raises(Failure) as raised:
        open_source(path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def reasons(source):
    """Return what became of each sample: its bytes, or why not."""
    return {sample.path: outcome(source, sample) for sample in source.samples}


def outcome(source, sample):
    try:
        return source.read(sample)
    except Unreadable as unreadable:
        return unreadable.reason


# Either kind


@pytest.fixture(params=["zip", "tar", "tar.gz"])
def pack(request, tmp_path):
    """Return a function that writes an archive of (name, bytes) pairs in each of the kinds."""

    def write(*members):
        path = tmp_path / f"archive.{request.param}"
        if request.param == "zip":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # `zipfile` warns of equal names
                return zipped(path, *members)
        return tarred(path, *members, mode="w:gz" if request.param == "tar.gz" else "w")

    return write


def test_paths_that_climb_are_rejected(pack):
    path = pack(("../../etc/1.jpg", JPEG), ("a/../../2.jpg", JPEG), ("p/cat/3.jpg", JPEG))
    with open_source(path) as source:
        assert {s.path: s.label for s in source.samples} == {
            "../../etc/1.jpg": None,
            "a/../../2.jpg": None,
            "p/cat/3.jpg": "p",
        } | {"p/cat/3.jpg": "cat"}
        found = reasons(source)
        assert found.pop("p/cat/3.jpg") == JPEG
        assert all("out of the archive" in reason for reason in found.values())


def test_absolute_paths_have_sane_labels(pack):
    with open_source(pack(("/home/me/cat/1.jpg", JPEG), ("/home/me/dog/1.jpg", JPEG))) as source:
        assert [s.label for s in source.samples] == ["cat", "dog"]
        assert set(reasons(source).values()) == {JPEG}


def test_the_last_of_one_name_counts(pack):
    with open_source(
        pack(("a/1.jpg", picture(1)), ("b/1.jpg", JPEG), ("a/1.jpg", picture(2)))
    ) as s:
        assert reasons(s) == {"a/1.jpg": picture(2), "b/1.jpg": JPEG}
        assert s.ignored == 1


@pytest.mark.parametrize(
    "name",
    [
        "cat/" + "x" * 4000 + ".jpg",
        "cat/a\nb\x1b[2J.jpg",
        "cat/\u202egpj.jpg",
        "cat/CON.jpg",
        "cat/ä€.jpg",
    ],
)
def test_odd_names(pack, name):
    with open_source(pack((name, JPEG), ("dog/1.jpg", JPEG))) as source:
        assert reasons(source)[name] == JPEG
        assert {s.path: s.label for s in source.samples}[name] == "cat"


def test_members_over_the_limit_are_rejected_unread(pack, monkeypatch):
    path = pack(("a/1.jpg", JPEG), ("a/large.jpg", JPEG * 3))
    monkeypatch.setattr(samples, "MAX_BYTES", len(JPEG))
    with open_source(path) as source:
        found = reasons(source)
    assert found["a/1.jpg"] == JPEG
    assert "larger than" in found["a/large.jpg"]


def test_threads_read_at_once(pack):
    members = [(f"a/{n}.jpg", picture(n)) for n in range(40)]
    with (
        open_source(pack(*members)) as source,
        ThreadPoolExecutor(1 if source.sequential else 8) as pool,
    ):
        assert list(pool.map(source.read, sorted(source.samples, key=str) * 5)) == [
            dict(members)[s.path] for s in sorted(source.samples, key=str) * 5
        ]


def test_too_many_members(pack, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    assert "over 2 files" in failure(pack(("a/1.jpg", b""), ("a/2.jpg", b""), ("a/3.jpg", b"")))


@pytest.mark.parametrize("kept", [0.1, 0.3, 0.55])
def test_truncated_archives_are_refused(pack, kept):
    path = pack(*((f"a/{n}.jpg", picture(n)) for n in range(8)))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    assert "archive" in failure(path)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_packed_tar_cut_off_in_a_file_without_suffix(tmp_path, mode):
    noise = random.Random(0).randbytes(300_000)
    path = tarred(tmp_path / "a.tar", ("a/1.jpg", noise), ("a/2", b"x" * 9), mode=mode)
    data = path.read_bytes()
    for left in range(len(data) - 400, len(data), 7):
        path.write_bytes(data[:left])
        assert "no sound archive" in failure(path)


# Zip


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


# Tar


def test_links_and_devices_in_tar_are_not_followed(tmp_path):
    path = tarred(
        tmp_path / "a.tar",
        ("a/1.jpg", JPEG),
        (info("a/2.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b""),
        (info("a/3.jpg", type=tarfile.LNKTYPE, linkname="a/1.jpg"), b""),
        (info("a/4.jpg", type=tarfile.FIFOTYPE), b""),
        (info("a/zero", type=tarfile.CHRTYPE, devmajor=1, devminor=5), b""),
    )
    with open_source(path) as source:
        assert source.ignored == 1
        link = "a link, which is not followed"
        assert reasons(source) == {
            "a/1.jpg": JPEG,
            "a/2.jpg": link,
            "a/3.jpg": link,
            "a/4.jpg": "a device or a pipe, not a file",
        }


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_formats_of_tar(tmp_path, form):
    path = tarred(
        tmp_path / "a.tar", ("cat/" + "y" * 80 + ".jpg", JPEG), ("./dog/1.jpg", JPEG), format=form
    )
    with open_source(path) as source:
        assert [s.label for s in source.samples] == ["cat", "dog"]
        assert set(reasons(source).values()) == {JPEG}


def test_names_that_are_not_utf8_in_tar(tmp_path):
    name = "cat/\udcff\udc80.jpg"
    with open_source(tarred(tmp_path / "a.tar", (name, JPEG), format=tarfile.GNU_FORMAT)) as source:
        assert reasons(source) == {name: JPEG}


def test_packed_tar_is_read_in_its_order(tmp_path):
    names = ["b/2.jpg", "a/9.jpg", "b/1.jpg", "a/0"]
    path = tarred(tmp_path / "a.tar.gz", *((name, JPEG) for name in names), mode="w:gz")
    with open_source(path) as source:
        assert source.sequential
        assert [s.path for s in source.samples] == names


def blocks(path):
    data = path.read_bytes()
    return [data[at : at + 512] for at in range(0, len(data), 512)]


def test_damage_in_the_middle_of_tar_is_no_end(tmp_path):
    path = tarred(tmp_path / "a.tar", ("a/1.jpg", JPEG), ("a/2.jpg", JPEG), ("a/3.jpg", JPEG))
    whole = blocks(path)
    second = next(n for n, block in enumerate(whole) if block.startswith(b"a/2.jpg"))
    path.write_bytes(b"".join([*whole[:second], b"\x55" * 512, *whole[second + 1 :]]))
    assert "damaged header" in failure(path)
    path.write_bytes(b"".join(whole[:second]))
    assert "cut short" in failure(path)
    path.write_bytes(b"".join(whole[:second]) + whole[second][:100])
    assert "no sound archive" in failure(path)


def test_damage_in_a_packed_tar(tmp_path):
    path = tarred(tmp_path / "a.tar.gz", ("a/1.jpg", JPEG), mode="w:gz")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1  # the checksum, which comes after everything
    path.write_bytes(data)
    assert "CRC" in failure(path)


def header(name, size_field):
    """Return a tar header with any size field, with a right checksum."""
    block = bytearray(info(name).tobuf(tarfile.GNU_FORMAT))
    block[124:136] = size_field
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
@pytest.mark.parametrize("size", [-512, -1024, -1, 2**40, 2**62])
def test_impossible_sizes_in_tar(tmp_path, kind, size):
    field = (b"\xff" if size < 0 else b"\x80") + size.to_bytes(11, "big", signed=True)
    block = bytearray(header("a/1.jpg", field))
    block[156:157] = kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path = tmp_path / "a.tar"
    path.write_bytes(header("a/0.jpg", b"00000000000\0") + bytes(block) + bytes(4096))
    assert "no sound archive" in failure(path)
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert "no sound archive" in failure(path)


def test_a_chain_of_headers_in_tar(tmp_path):
    block = bytearray(header("x", b"00000000000\0"))
    block[156:157] = tarfile.GNUTYPE_LONGNAME
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path = tmp_path / "a.tar"
    path.write_bytes(header("a/0.jpg", b"00000000000\0") + bytes(block) * 5000 + bytes(1024))
    assert "no sound archive" in failure(path)


def test_a_tar_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tar, "_SMALL", 2**20)
    size = 2**25
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb") as file:
        file.write(header("a/0.jpg", b"%011o\0" % size))
        for _ in range(size // 2**20):
            file.write(bytes(2**20))
        file.write(bytes(1024))
    assert "bomb" in failure(path)


def test_too_much_in_front_of_a_member_is_refused(tmp_path):
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a/1.jpg"}
    numbers = b"1000000\n" + b"1\n" * 1_000_000
    path = tmp_path / "a.tar"
    tarred(path, (info("a/1.jpg", len(numbers), pax_headers=sparse), numbers))
    assert "impossible size" in failure(path)
    attributes = {f"key{n}": "value" for n in range(1001)}
    tarred(path, ("a/1.jpg", JPEG), format=tarfile.PAX_FORMAT, pax_headers=attributes)
    assert "attributes" in failure(path)
    few = {"comment": "as git writes it"}
    tarred(path, ("a/1.jpg", JPEG), format=tarfile.PAX_FORMAT, pax_headers=few)
    with open_source(path) as source:
        assert reasons(source) == {"a/1.jpg": JPEG}


def test_many_members_are_no_header(tmp_path):
    members = [(f"a/{n}", bytes([n % 256]) * 600) for n in range(3000)]
    path = tarred(tmp_path / "a.tar.gz", ("a/1.jpg", JPEG), *members, mode="w:gz")
    with open_source(path) as source:
        assert source.ignored == 3000


def test_sparse_files_in_tar_have_a_reason(tmp_path):
    block = bytearray(header("a/1.jpg", b"00000000000\0"))
    block[156:157] = tarfile.GNUTYPE_SPARSE
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(block) + bytes(1024))
    with open_source(path) as source:
        assert "sparse" in reasons(source)["a/1.jpg"]


# Any bytes


def seeds(folder):
    members = [
        ("a/1.jpg", JPEG),
        ("b/2", picture(3)),
        ("b/Thumbs.db", b"x"),
        ("b/" + "n" * 120 + ".png", b""),
    ]
    made = [
        zipped(folder / "s.zip", *members),
        zipped(folder / "d.zip", *members, method=zipfile.ZIP_DEFLATED),
    ]
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        made.append(tarred(folder / f"{form}.tar", *members, format=form))
        made.append(tarred(folder / f"{form}.tar.gz", *members, mode="w:gz", format=form))
    made.append(tarred(folder / "a.tar.xz", *members, mode="w:xz"))
    made.append(tarred(folder / "a.tar.bz2", *members, mode="w:bz2"))
    return [path.read_bytes() for path in made]


with tempfile.TemporaryDirectory() as made:
    SEEDS = tuple(seeds(Path(made)))


edits = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.one_of(
            st.binary(min_size=1, max_size=4),
            st.sampled_from([b"\xff" * 8, bytes(8), b"\x80" + bytes(11), b"77777777777\0"]),
        ),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@FUZZ
@given(st.integers(0, len(SEEDS) - 1), edits, st.floats(0.3, 3))
def test_any_archive_opens_or_fails_cleanly(tmp_path, which, changes, kept):
    data = bytearray(SEEDS[which])
    for place, piece, insert in changes:
        at = int(place * len(data))
        data[at : at + (0 if insert else len(piece))] = piece
    path = tmp_path / "fuzzed"
    path.write_bytes(data[: int(len(data) * kept)])
    try:
        source = open_source(path)
    except Failure as failed:
        message = str(failed)
    else:
        message = ""
        with source:
            assert not any(isinstance(f, str) and "\n" in f for f in reasons(source).values())
            assert source.samples
            assert source.ignored >= 0
    assert "\n" not in message
