"""engine.sources.shards: several files as one source."""

import errno

import pytest
from source_samples import picture, reasons, tarred, zipped

from cache.failures import Failure, UsageFailure
from cache.files import open_file
from engine.sources import opened as opening
from engine.sources import shards
from engine.sources.base import SourceOptions
from engine.sources.open import open_source
from engine.sources.shards import matches


@pytest.fixture
def files(tmp_path):
    def write(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        return tmp_path

    return write


def found(folder, pattern):
    return [path.relative_to(folder).as_posix() for path in matches(f"{folder}/{pattern}")]


def test_braces_and_signs(files):
    folder = files("a-000.tar", "a-001.tar", "a-010.tar", "b-000.tar", "c/x.tar")
    assert found(folder, "a-{000..001}.tar") == ["a-000.tar", "a-001.tar"]
    assert found(folder, "a-{001..000}.tar") == ["a-001.tar", "a-000.tar"]
    assert found(folder, "{a,b}-000.tar") == ["a-000.tar", "b-000.tar"]
    assert found(folder, "{a,b}-{000..000}.tar") == ["a-000.tar", "b-000.tar"]
    assert found(folder, "a-0?0.tar") == ["a-000.tar", "a-010.tar"]
    assert found(folder, "{a,b}*.tar") == ["a-000.tar", "a-001.tar", "a-010.tar", "b-000.tar"]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("a-{000..002}.tar", "a-002.tar, which"),
        ("z*.tar", "there is no"),
        ("a-{0..99999999999}.tar", "over 10,000 files"),
        ("{0..99}{0..99}{0..99}{0..99}", "there is no"),
        ("*{0..99}{0..99}{0..99}", "over 10,000 files"),
        ("a-{000..000..000}.tar", "there is no"),
    ],
)
def test_patterns_that_stand_for_nothing_or_too_much(files, pattern, words):
    folder = files("a-000.tar", "a-001.tar")
    with pytest.raises(Failure, match=words):
        matches(f"{folder}/{pattern}")


def test_a_name_that_looks_like_a_pattern_is_a_name_first(tmp_path):
    path = zipped(tmp_path / "pets [1].zip", ("a/1.jpg", picture(1)), ("b/1.jpg", picture(90)))
    with open_source(path) as source:
        assert [sample.path for sample in source.samples] == ["a/1.jpg", "b/1.jpg"]


def test_samples_of_all_shards(tmp_path):
    for number in range(3):
        members = [(f"{label}/{number}.jpg", picture(30 * number)) for label in "ab"]
        tarred(tmp_path / f"s-{number}.tar", *members, ("x.txt", b"x"))
    with open_source(tmp_path / "s-{0..2}.tar") as source:
        assert not source.sequential
        assert [(s.path, s.label) for s in source.samples][:2] == [
            ("s-0.tar/a/0.jpg", "a"),
            ("s-0.tar/b/0.jpg", "b"),
        ]
        assert source.ignored_kinds == {".txt": 3}
        assert reasons(source)["s-2.tar/b/2.jpg"] == picture(60)
        assert source.stat(source.samples[0]) is None  # too young


def test_a_pattern_of_labels_need_not_match_in_each_shard(tmp_path):
    tarred(tmp_path / "s-0.tar", ("cat.0.jpg", picture(1)))
    tarred(tmp_path / "s-1.tar", ("dog.0.jpg", picture(90)), ("x.jpg", picture(40)))
    pattern = tmp_path / "s-*.tar"
    with open_source(pattern, SourceOptions(labels=r"(cat|dog)\.")) as source:
        assert [s.label for s in source.samples] == ["cat", "dog", None]
    with pytest.raises(UsageFailure, match="none of the 3 paths"):
        open_source(pattern, SourceOptions(labels=r"(cow)\."))


def test_two_shards_of_one_name(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        tarred(tmp_path / folder / "s.tar", ("1.jpg", picture(1 if folder == "a" else 90)))
    with open_source(tmp_path / "*" / "s.tar") as source:
        assert len(set(reasons(source).values())) == 2


def test_a_damaged_shard_closes_the_others(tmp_path, monkeypatch):
    tarred(tmp_path / "s-0.tar", ("1.jpg", picture(1)))
    (tmp_path / "s-1.tar").write_bytes(b"x" * 600)
    closed = []
    close = shards.ShardsSource.close
    monkeypatch.setattr(shards.ShardsSource, "close", lambda s: closed.append(s) or close(s))
    with pytest.raises(Failure, match=r"s-1\.tar is no sound archive"):
        open_source(tmp_path / "s-*.tar")
    assert len(closed) == 1


def test_more_shards_than_files_may_be_open_are_one_line(tmp_path, monkeypatch):
    for number in range(3):
        tarred(tmp_path / f"s-{number}.tar", ("1.jpg", picture(number)))
    opened = []

    def open_two(path):
        opened.append(path)
        if len(opened) > 2:
            raise OSError(errno.EMFILE, "Too many open files")
        return open_file(path)

    monkeypatch.setattr(opening, "open_file", open_two)
    with pytest.raises(Failure, match=r"Too many open files; let more files be open \(ulimit -n\)"):
        open_source(tmp_path / "s-*.tar")
