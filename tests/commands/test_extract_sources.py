"""python -m engine.extract: what is said of a source, several of them, files that hold still."""

import json
import os
import time
import zipfile
from pathlib import Path

import pytest
from conftest import write_pictures
from source_samples import parquet, picture, tarred, zipped

from cache.rows import stat_of
from cache.store import FeatureCache
from engine import extract
from engine.sources import file_bytes, file_stats


@pytest.fixture
def run(options, capsys):
    """Run the command; return its exit code, its JSON and its messages."""

    def run_json(*arguments):
        code = extract.main([*map(str, arguments), *options, "--json"])
        captured = capsys.readouterr()
        return code, json.loads(captured.out), captured.err

    return run_json


@pytest.fixture
def reads(monkeypatch):
    """Return the digests that are taken: one for each file that is read."""
    taken = []
    sha256 = file_bytes.sha256
    monkeypatch.setattr(file_bytes, "sha256", lambda data: taken.append(data) or sha256(data))
    return taken


def split_pictures(folder):
    for name, count, seed in (("training_set", 6, 0), ("test_set", 3, 1)):
        write_pictures(folder / name, count, seed)
    (folder / "single_prediction").mkdir()
    (folder / "single_prediction/what.jpg").write_bytes(picture(9))
    (folder / "read me.txt").write_text("x")
    return folder


def rows(tmp_path):
    (space,) = FeatureCache.open(tmp_path / "cache").spaces()
    return {row.path: row for row in space.rows()}


def test_what_was_found_is_said_and_kept(run, tmp_path):
    code, result, messages = run(split_pictures(tmp_path / "pets"))
    assert code == 0
    assert result["classes"] == {"spots": 9, "stripes": 9}
    assert result["splits"] == {"train": 12, "test": 6, "unlabelled": 1}
    assert result["ignored_kinds"] == {".txt": 1}
    for line in (
        "18 images of 2 classes: spots 9, stripes 9",
        "1 image without a label",
        "splits: train 12, test 6, unlabelled 1",
        "ignored: 1 .txt",
        "single_prediction (unlabelled)",
    ):
        assert line in messages
    kept = rows(tmp_path)
    assert kept["training_set/spots/0.jpg"].split == "train"
    assert kept["test_set/spots/0.jpg"].split == "test"
    assert (kept["single_prediction/what.jpg"].split, kept["single_prediction/what.jpg"].label) == (
        None,
        None,
    )


def test_a_dry_run_says_the_same_and_does_nothing(options, tmp_path, capsys):
    folder = split_pictures(tmp_path / "pets")
    assert extract.main([str(folder), *options, "--dry-run", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["classes"] == {"spots": 9, "stripes": 9}
    assert (result["samples"], result["ignored"]) == (19, 1)
    assert not (tmp_path / "cache").exists()
    assert extract.main([str(folder), *options, "--dry-run"]) == 0
    assert "splits: train 12, test 6" in capsys.readouterr().out
    assert extract.main([str(folder), "--dry-run"]) == 0
    capsys.readouterr()
    assert extract.main([str(folder)]) == 2
    assert "--cache DIR" in capsys.readouterr().err


def test_warnings_are_given_even_when_quiet(options, tmp_path, capsys):
    write_pictures(tmp_path / "flat", 2)
    extract.main([str(tmp_path / "flat/spots"), *options, "--quiet"])
    assert "warning: no image has a label" in capsys.readouterr().err


def test_labels_come_from_names_where_they_are_asked_for(run, tmp_path):
    folder = tmp_path / "flat"
    folder.mkdir()
    for number in range(4):
        (folder / f"{('cat', 'dog')[number % 2]}.{number}.jpg").write_bytes(picture(number))
    code, result, _ = run(folder, "--labels", r"(cat|dog)\.\d+\.jpg")
    assert (code, result["classes"]) == (0, {"cat": 2, "dog": 2})


def test_several_sources_are_a_dataset_each(run, tmp_path):
    first = write_pictures(tmp_path / "a", 3)
    second = write_pictures(tmp_path / "b", 5, seed=4)
    code, result, messages = run(first, second)
    assert (code, result["source"]) == (0, [str(first), str(second)])
    assert (result["samples"], result["computed"]) == (16, 16)
    assert result["classes"] == {"spots": 8, "stripes": 8}
    assert (result["ignored_kinds"], result["splits"]) == ({}, None)
    assert result["images_per_second"] > 0
    assert f"{second}: 10 images of 2 classes" in messages
    (space,) = FeatureCache.open(tmp_path / "cache").spaces()
    assert space.datasets() == [str(first), str(second)]


def test_a_source_that_is_wrong_costs_no_pass(options, tmp_path, capsys):
    first = write_pictures(tmp_path / "a", 3)
    assert extract.main([str(first), str(tmp_path / "nowhere"), *options]) == 1
    assert "there is no" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_a_table_of_wrong_paths_fails_in_a_few_lines(options, tmp_path, capsys):
    lines = [f"wrong/{n}.jpg,{n % 2}" for n in range(3000)]
    (tmp_path / "all.csv").write_text("\n".join(["path,label", *lines]))
    assert extract.main([str(tmp_path / "all.csv"), *options]) == 1
    captured = capsys.readouterr()
    rejected = [line for line in captured.err.splitlines() if line.startswith("rejected")]
    assert len(rejected) == 1
    assert "3,000 images" in rejected[0]
    assert "paths count from the folder" in captured.out
    assert "fit_head" not in captured.out


@pytest.fixture
def settled(monkeypatch):
    """Let a change time be long ago: the kernel sets it to now, whatever `utime` says."""
    monkeypatch.setattr(file_stats, "GRAIN_NS", -(10**9))


@pytest.mark.usefixtures("settled")
def test_files_that_are_as_they_were_are_not_read_again(run, pictures, reads):
    assert run(pictures)[1]["computed"] == 24
    assert len(reads) == 24
    _, result, _ = run(pictures)
    assert (result["hits"], len(reads)) == (24, 24)
    _, result, _ = run(pictures, "--rehash")
    assert (result["hits"], len(reads)) == (24, 48)


def tabled(path, *members):
    return parquet(path, {"image": [{"bytes": data, "path": name} for name, data in members]})


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.parquet"])
def test_archives_that_are_as_they_were_are_not_read_again(run, tmp_path, reads, name):
    write = {".zip": zipped, ".tar": tarred, ".parquet": tabled}[Path(name).suffix]
    members = [(f"a/{n}.jpg", picture(40 * n)) for n in range(5)]
    path = write(tmp_path / name, *members)
    run(path)
    run(path)
    assert len(reads) == 5
    write(path, *members[:4], ("a/4.jpg", picture(255)))
    _, result, _ = run(path)
    assert (result["computed"], result["hits"], len(reads)) == (1, 4, 10)


@pytest.fixture
def tick(monkeypatch):
    """Let the file system's clock stand still, within its grain: all happens in one second."""
    now = time.time_ns()

    def stat_at_once(status):
        return stat_of(status)._replace(modified=now, changed=now)

    monkeypatch.setattr(file_stats, "stat_of", stat_at_once)
    monkeypatch.setattr(file_stats, "GRAIN_NS", 3600 * 10**9)  # a slow machine is no other second


@pytest.mark.usefixtures("tick")
def test_one_byte_changed_in_the_same_second_is_found(run, tmp_path, reads):
    """Size kept, and no time tells, not even that of the change: the young are not trusted."""
    folder = tmp_path / "a"
    (folder / "x").mkdir(parents=True)
    path = folder / "x" / "0.jpg"
    path.write_bytes(picture(1))
    before = path.stat()
    run(folder)
    changed = bytearray(picture(1))
    changed[-3] ^= 1
    path.write_bytes(changed)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    run(folder)
    assert reads == [picture(1), bytes(changed)]


@pytest.mark.usefixtures("settled")
def test_a_change_after_a_long_time_is_found_though_its_time_is_set_back(run, tmp_path, reads):
    folder = tmp_path / "a"
    (folder / "x").mkdir(parents=True)
    path = folder / "x" / "0.jpg"
    path.write_bytes(picture(1))
    run(folder)
    before = path.stat()
    changed = bytearray(picture(1))
    changed[-3] ^= 1
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # the clock's tick
        path.write_bytes(changed)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    run(folder)
    assert reads[1:] == [bytes(changed)]


def test_young_files_are_read_again_until_they_are_settled(run, pictures, reads, tmp_path):
    run(pictures)
    assert all(row.stat is None for row in rows(tmp_path).values())
    run(pictures)
    assert len(reads) == 48


@pytest.mark.usefixtures("settled")
def test_a_feature_that_has_gone_is_computed_though_its_file_is_known(run, pictures, tmp_path):
    run(pictures)
    (space,) = FeatureCache.open(tmp_path / "cache").spaces()
    for part in Path(space.path, "parts").iterdir():
        part.unlink()
    assert run(pictures)[1]["computed"] == 24


def test_a_dry_run_of_a_table_says_which_files_are_not_there(tmp_path, capsys):
    (tmp_path / "1.jpg").write_bytes(picture(1))
    rows = "path,label\n1.jpg,cat\n2.jpg,dog\n3.jpg,dog\n"
    (tmp_path / "labels.csv").write_text(rows)
    assert extract.main([str(tmp_path / "labels.csv"), "--dry-run"]) == 0
    folder = f"paths count from the folder {tmp_path}, unless another is given"
    assert f"warning: not there: 2 of 3 files, such as 2.jpg; {folder}\n" in capsys.readouterr().err
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for number in (1, 2):
            archive.writestr(f"{number}.jpg", picture(number))
    base = ["--base", str(tmp_path / "pets.zip")]
    assert extract.main([str(tmp_path / "labels.csv"), *base, "--dry-run"]) == 0
    assert "not there: 1 of 3 files, such as 3.jpg; paths are those in" in capsys.readouterr().err
    for number in (2, 3):
        (tmp_path / f"{number}.jpg").write_bytes(picture(number))
    assert extract.main([str(tmp_path / "labels.csv"), "--dry-run"]) == 0
    assert "not there" not in capsys.readouterr().err
