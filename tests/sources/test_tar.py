"""engine.sources.tar and engine.sources.tar_members: hostile, damaged and odd tar archives."""

import gzip
import tarfile

import pytest
from source_samples import JPEG, failure, info, reasons, tarred

from engine.sources import archive
from engine.sources.open import open_source


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
    monkeypatch.setattr(archive, "SMALL_BYTES", 2**20)
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


def with_attributes(path, body):
    """Write a tar whose one image has a pax header of these bytes."""
    block = bytearray(header("x", b"%011o\0" % len(body)))
    block[156:157] = tarfile.XHDTYPE
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    body += bytes(-len(body) % 512)
    member = header("a/1.jpg", b"%011o\0" % len(JPEG)) + JPEG + bytes(-len(JPEG) % 512)
    path.write_bytes(bytes(block) + body + member + bytes(1024))
    return path


@pytest.mark.parametrize(
    "body",
    [
        b"1" * 5000,
        b"3000 comment=" + b"1" * 2986 + b"\n",
        b"2 a=b\n" * 50,
        b"99999999 a=b\n",
        b"6 a=b\nnonsense",
        b"8 ab=c\n",
        b"0 a=b\n",
        b"9 a" + b"b" * 4000,
    ],
)
def test_attributes_that_are_malformed_are_refused(tmp_path, body):
    assert "attribute" in failure(with_attributes(tmp_path / "a.tar", body))


def test_attributes_as_programs_write_them(tmp_path):
    body = b"6 a=b\n30 mtime=1732546800.123456789\n19 path=dog/ab.jpg\n"
    with open_source(with_attributes(tmp_path / "a.tar", body)) as source:
        assert reasons(source) == {"dog/ab.jpg": JPEG}
