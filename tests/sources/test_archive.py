"""engine.sources.archive: what holds of archives of either kind, whatever their bytes."""

import random
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
from source_samples import JPEG, failure, picture, reasons, tarred, zipped

from cache.failures import Failure
from engine.sources import base, tar, zip_directory
from engine.sources.open import open_source


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
    monkeypatch.setattr(base, "MAX_BYTES", len(JPEG))
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
    monkeypatch.setattr(tar, "MAX_MEMBERS", 2)
    monkeypatch.setattr(zip_directory, "MAX_ZIP_MEMBERS", 2)
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
