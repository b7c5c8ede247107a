import errno
import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest
from cache_samples import DESCRIPTION, filled, rows_of, vectors

import cache.compact
import cache.lock
import cache.rewrite
from cache.__main__ import main
from cache.maintenance import maintenance
from cache.pack import pack
from cache.part import open_part
from cache.rows import Row
from cache.store import FeatureCache


def result(capsys, *arguments, code=0):
    assert main([*map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_info_says_what_is_there(tmp_path, capsys):
    space = filled(tmp_path / "c")
    space.write_note("parity", {"cosine": 0.99})
    writer = space.write_dataset("more")
    writer.append([Row("x.jpg", "a", b"", "rejected", "zero bytes")])
    (space.path / "parts" / ".tmp-1").write_bytes(b"half")
    info = result(capsys, "info", tmp_path / "c")
    (found,) = info["spaces"]
    assert (found["id"], found["rows"], found["parts"]) == (space.id, 40, 4)
    assert found["notes"] == {"parity": {"cosine": 0.99}}
    photos = {
        "name": "photos",
        "rows": 40,
        "cached": 40,
        "rejected": 0,
        "classes": {"a": 20, "b": 20},
    }
    more = {"name": "more", "rows": 1, "cached": 0, "rejected": 1, "classes": {}}
    assert found["datasets"] == [more, photos]
    assert len(info["leftovers"]) == 1
    assert main(["info", str(tmp_path / "c")]) == 0
    assert "40 rows of 8 in 4 parts" in capsys.readouterr().out


def test_an_absent_cache_is_one_line(tmp_path, capsys):
    assert main(["info", str(tmp_path / "none")]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "is not a cache" in captured.err


def test_verify_names_and_sets_aside_the_damaged_part(tmp_path, capsys):
    space = filled(tmp_path / "c")
    assert result(capsys, "verify", tmp_path / "c")["damaged"] == []
    part = space.part_paths()[2]
    part.write_bytes(part.read_bytes()[:-1] + b"\1")
    report = result(capsys, "verify", tmp_path / "c", code=1)
    assert [entry["path"] for entry in report["damaged"]] == [str(part)]
    assert len(report["set_aside"]) == 1
    assert len(space.index()) == 30
    again = result(capsys, "verify", tmp_path / "c", code=1)
    assert (again["damaged"], len(again["missing"])) == ([], 10)


def test_a_dataset_that_a_kill_left_without_a_name_is_no_damage(tmp_path, capsys):
    space = filled(tmp_path / "c")
    (space.path / "datasets" / "0123456789abcdef").mkdir()
    assert result(capsys, "verify", tmp_path / "c")["damaged"] == []
    assert len(result(capsys, "info", tmp_path / "c")["spaces"][0]["datasets"]) == 1


def test_compact_makes_few_parts_of_the_same_rows(tmp_path, capsys):
    space = filled(tmp_path / "c", parts=9)
    digests, features = vectors(90)
    space.append(digests[5:25], features[5:25])
    (report,) = result(capsys, "compact", tmp_path / "c")["spaces"]
    assert (report["parts_before"], report["parts_after"]) == (10, 1)
    assert (report["rows_before"], report["rows_after"]) == (110, 90)
    assert np.array_equal(space.index().read(digests), features)
    before = files(tmp_path / "c")
    result(capsys, "compact", tmp_path / "c")
    assert files(tmp_path / "c").items() >= before.items()


def test_compact_leaves_large_parts_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cache.rewrite, "TARGET_BYTES", 4 * 8 * 20)
    monkeypatch.setattr(cache.compact, "TARGET_BYTES", 4 * 8 * 20)
    space = filled(tmp_path / "c", parts=3, rows=20)
    large = set(space.part_paths())
    digests, features = vectors(65)
    for row in range(60, 65):
        space.append(digests[[row, 0]], features[[row, 0]])
    result(capsys, "compact", tmp_path / "c")
    assert large < set(space.part_paths())
    assert len(space.part_paths()) == 4
    assert len(space.index()) == 65
    assert np.array_equal(space.index().read(digests), features)


def test_maintenance_is_one_at_a_time(tmp_path, capsys):
    filled(tmp_path / "c")
    with maintenance(tmp_path / "c"):
        assert main(["compact", str(tmp_path / "c")]) == 1
    assert "another compact, merge, forget or gc is at work" in capsys.readouterr().err


def test_merge_brings_features_rows_and_notes(tmp_path, capsys):
    named = {key: hashlib.sha256(key.encode()).hexdigest() for key in ("model", "data")}
    ours = filled(tmp_path / "a", parts=2, description=named)
    theirs = filled(tmp_path / "b", parts=4, description=named)
    theirs.write_note("parity", {"cosine": 1})
    (theirs.path / "model.onnx").write_bytes(b"model")
    (theirs.path / "model.onnx.data").write_bytes(b"data")
    other = FeatureCache.open(tmp_path / "b").add_space({"backbone": "other"}, 3)
    other.append(*vectors(5, 3))
    report = result(capsys, "merge", tmp_path / "a", tmp_path / "b")
    assert report == {"parts": 3, "rows": 25, "datasets": 1}
    digests, features = vectors(40)
    assert np.array_equal(ours.index().read(digests), features)
    assert sorted(r.digest for r in ours.rows()) == sorted(map(bytes, digests))
    assert ours.notes() == {"parity": {"cosine": 1}}
    assert (ours.path / "model.onnx").read_bytes() == b"model"
    assert (ours.path / "model.onnx.data").read_bytes() == b"data"
    assert len(FeatureCache.open(tmp_path / "a").spaces()) == 2
    again = result(capsys, "merge", tmp_path / "a", tmp_path / "b")
    assert again == {"parts": 0, "rows": 0, "datasets": 0}
    assert main(["merge", str(tmp_path / "a"), str(tmp_path / "a")]) == 2


def test_merge_takes_no_model_that_the_space_does_not_name(tmp_path, capsys):
    ours, theirs = filled(tmp_path / "a", parts=1), filled(tmp_path / "b", parts=2)
    (theirs.path / "model.onnx").write_bytes(b"another")
    assert main(["merge", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert (
        "model.onnx is damaged: its bytes are not those that were written; left out"
        in capsys.readouterr().err
    )
    assert not (ours.path / "model.onnx").exists()
    assert not list(ours.path.glob(".tmp-*"))
    (damaged,) = result(capsys, "verify", tmp_path / "b", code=1)["damaged"]
    assert damaged["path"] == str(theirs.path / "model.onnx")


def test_merge_replaces_no_feature_and_says_how_others_differ(tmp_path, capsys):
    """Whatever the names of the parts: which one was served used to hang on those."""
    for seed in range(6):
        a, b = tmp_path / f"a{seed}", tmp_path / f"b{seed}"
        ours, theirs = filled(a, parts=1), filled(b, parts=1)
        digests, features = vectors(30)
        held = ours.index().read(digests[:10])
        for path in theirs.part_paths():
            path.unlink()
        other = features * np.float32(1 + 2.0**-10)
        other[20 + seed] = 0
        theirs.append(digests[5:30], other[5:30])
        assert main(["merge", str(a), str(b), "--json"]) == 0
        captured = capsys.readouterr()
        assert (json.loads(captured.out)["parts"], json.loads(captured.out)["rows"]) == (1, 20)
        assert np.array_equal(ours.index().read(digests[:10]), held)
        assert np.array_equal(ours.index().read(digests[10:]), other[10:])
        assert len(ours.index()) == 30
        (line,) = captured.err.splitlines()
        assert "5 of 5 features that both caches have differ, by up to 0.00" in line
        assert "least cosine 1.000000" in line
        assert main(["merge", str(a), str(b)]) == 0
        assert len(ours.index()) == 30
        capsys.readouterr()


def test_merge_takes_from_another_part_what_a_damaged_one_has_lost(tmp_path, capsys):
    ours, theirs = filled(tmp_path / "a", parts=1), filled(tmp_path / "b", parts=3)
    digests, features = vectors(30)
    theirs.append(digests[15:], features[15:])
    for path in theirs.part_paths():
        if len(open_part(path, theirs.id, 8).digests) == 10:
            path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert main(["merge", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert "left out" in capsys.readouterr().err
    assert ours.index().contains(digests).tolist() == [True] * 10 + [False] * 5 + [True] * 15
    assert not result(capsys, "verify", tmp_path / "a")["damaged"]
    index = ours.index()
    assert all(index.contains(np.frombuffer(r.digest, np.uint8)).all() for r in ours.rows())


def test_merge_leaves_damaged_parts_out(tmp_path, capsys):
    ours, theirs = filled(tmp_path / "a", parts=1), filled(tmp_path / "b", parts=3)
    held = {path.name for path in ours.part_paths()}
    part = next(path for path in theirs.part_paths() if path.name not in held)
    part.write_bytes(part.read_bytes()[:-1] + b"\1")
    assert main(["merge", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert "left out" in capsys.readouterr().err
    assert len(ours.index()) == 20


def test_pack_is_plain_hdf5(tmp_path, capsys):
    space = filled(tmp_path / "c")
    writer = space.write_dataset("odd")
    digest = bytes(vectors(1)[0][0])
    writer.append([Row("\udcff\n", None, digest, "cached"), Row("z", "a", b"", "rejected", "no")])
    out = tmp_path / "out.h5"
    assert result(capsys, "pack", tmp_path / "c", out)["rows"] == 41
    digests, features = vectors(40)
    with h5py.File(out) as file:
        assert file["features"].shape == (41, 8)
        classes = file["classes"].asstr()[()].tolist()
        order = {digest.tobytes(): n for n, digest in enumerate(digests)}
        for number, digest in enumerate(file["digests"][()]):
            assert np.array_equal(file["features"][number], features[order[digest.tobytes()]])
        assert sorted(set(file["labels"][()])) == [-1, 0, 1]
        assert classes == ["a", "b"]
        assert "\\udcff\n" in file["paths"].asstr()[()].tolist()
        assert file["features"].chunks is None
        assert file["features"].id.get_offset() % 4096 == 0
    assert main(["pack", str(tmp_path / "c"), str(out)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_what_a_program_transformed_is_not_packed_and_said_to_be_such(tmp_path, capsys):
    space = filled(tmp_path / "c", parts=1, rows=4)
    writer = space.write_dataset("python")
    writer.append([replace(row, label=None) for row in space.rows()])
    writer.finish()
    assert pack(space, tmp_path / "out.h5").rows == 4
    assert main(["info", str(tmp_path / "c")]) == 0
    assert "python: 4 cached, 0 rejected; images that a program" in capsys.readouterr().out
    alone = FeatureCache.create(tmp_path / "d").add_space(DESCRIPTION, 8)
    alone.append(*vectors(1))
    writer = alone.write_dataset("python")
    writer.append([Row("a.jpg", None, bytes(vectors(1)[0][0]), "cached")])
    writer.finish()
    assert pack(alone, tmp_path / "alone.h5").rows == 1


def test_pack_counts_whole_numbers_in_their_order(tmp_path):
    space = filled(tmp_path / "c", parts=1, rows=4)
    rows = [
        replace(row, label=label)
        for row, label in zip(space.rows(), ["10", "9", "-1", "9"], strict=True)
    ]
    writer = space.write_dataset("photos")
    writer.append(rows)
    writer.finish()
    packed = pack(space, tmp_path / "out.h5")
    assert packed.classes == ["-1", "9", "10"]
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["labels"][()].tolist() == [2, 1, 0, 1]


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX does")
@pytest.mark.parametrize("limit", [0, 100, 3000, 6000, 100_000, 200_000, 600_000])
def test_pack_onto_a_full_disk_is_one_line(tmp_path, limit):
    filled(tmp_path / "c", parts=1, rows=40, dimension=4096)
    program = (
        "import resource, sys\nfrom cache.__main__ import main\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["pack", str(tmp_path / "c"), str(tmp_path / "out.h5")]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, encoding="utf-8"
    )
    assert (done.returncode, done.stderr) == (1, "python -m cache: File too large\n")
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_forget_takes_the_rows_of_one_dataset_and_leaves_the_features(tmp_path, capsys):
    space = filled(tmp_path / "c", parts=1)
    rows = space.rows()
    writer = space.write_dataset(str(tmp_path / "pets"))
    writer.append(rows[:3])
    writer.finish()
    assert main(["forget", str(tmp_path / "c"), "cats", "--yes"]) == 2
    assert "there is no dataset cats; there are: " in capsys.readouterr().err
    assert main(["forget", str(tmp_path / "c"), "pets"]) == 2
    assert "give --yes" in capsys.readouterr().err
    report = result(capsys, "forget", tmp_path / "c", "pets", "--yes")
    assert report == {
        "dataset": str(tmp_path / "pets"),
        "rows": 3,
        "spaces": [space.id],
        "removed": True,
    }
    assert space.datasets() == ["photos"]
    assert space.rows() == rows
    assert main(["forget", str(tmp_path / "c"), "photos", "--yes"]) == 0
    assert capsys.readouterr().out.startswith("forgot 10 rows of photos in 1 space; ")
    assert not list((space.path / "datasets").iterdir())
    assert len(space.index()) == 10
    assert result(capsys, "gc", tmp_path / "c", "--yes", "--min-age", "0")["spaces"] == [space.id]


def test_forget_says_what_to_do_next_as_it_was_called(tmp_path, capsys):
    filled(tmp_path / "my c", parts=1)
    assert main(["forget", str(tmp_path / "my c"), "photos", "--yes"], prog="onceover cache") == 0
    assert capsys.readouterr().out.endswith(f"onceover cache gc '{tmp_path / 'my c'}'\n")


def test_forget_leaves_a_run_under_way_alone(tmp_path, capsys):
    space = filled(tmp_path / "c", parts=1)
    run = space.write_dataset("photos")
    assert main(["forget", str(tmp_path / "c"), "photos", "--yes"]) == 1
    assert "an extraction of photos is under way" in capsys.readouterr().err
    run.finish()
    assert main(["forget", str(tmp_path / "c"), "photos", "--yes"]) == 0


def test_rows_that_a_killed_forget_left_are_found_by_gc(tmp_path, capsys):
    space = filled(tmp_path / "c", parts=1)
    writer = space.write_dataset("more")
    writer.append(space.rows())
    writer.finish()
    (record,) = (p for p in space.path.glob("datasets/*/dataset.json") if b"more" in p.read_bytes())
    record.replace(record.with_name(".tmp-dataset.json"))
    assert space.datasets() == ["photos"]
    assert result(capsys, "verify", tmp_path / "c")["damaged"] == []
    files = result(capsys, "gc", tmp_path / "c", "--yes", "--min-age", "0")["files"]
    assert len(files) == 2
    assert space.rows()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_named(tmp_path, capsys, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    filled(tmp_path / "c", parts=1)
    monkeypatch.setattr(cache.lock, "_lock", refuse)
    assert main(["compact", str(tmp_path / "c")]) == 0
    told = f"warning: {tmp_path / 'c'} lies on a file system without locks: run one process"
    assert capsys.readouterr().err.startswith(told)


def test_gc_removes_what_no_dataset_uses_and_nothing_else(tmp_path, capsys):
    space = filled(tmp_path / "c")
    digests, features = vectors(40)
    orphans = vectors(5, seed=3)
    space.append(
        np.concatenate([digests[:5], orphans[0]]), np.concatenate([features[:5], orphans[1]])
    )
    unused = FeatureCache.open(tmp_path / "c").add_space({"backbone": "unused"}, 8)
    unused.append(*orphans)
    (space.path / "parts" / ".tmp-1").write_bytes(b"half")
    young = result(capsys, "gc", tmp_path / "c", "--yes")
    assert not young["removed"]
    assert main(["gc", str(tmp_path / "c"), "--min-age", "0"]) == 2
    capsys.readouterr()
    report = result(capsys, "gc", tmp_path / "c", "--yes", "--min-age", "0")
    assert (report["spaces"], report["rows"], len(report["files"])) == ([unused.id], 5, 1)
    assert np.array_equal(space.index().read(digests), features)
    assert not space.index().contains(orphans[0]).any()
    assert FeatureCache.open(tmp_path / "c").spaces() == [space]


def test_gc_leaves_what_a_run_under_way_may_count_on(tmp_path, capsys):
    space = filled(tmp_path / "c")
    orphans = vectors(5, seed=3)
    space.append(*orphans)
    old = time.time() - 7200
    for part in space.part_paths():
        os.utime(part, (old, old))
    run = space.write_dataset("more")  # it has found the orphans in the cache, and wrote no row yet
    assert result(capsys, "gc", tmp_path / "c", "--yes")["rows"] == 0
    run.append(rows_of(orphans[0]))
    run.finish()
    space.append(*vectors(7, seed=5))
    for part in space.part_paths():
        os.utime(part, (old, old))
    assert result(capsys, "gc", tmp_path / "c", "--yes")["rows"] == 7
    assert space.index().contains(orphans[0]).all()


def test_gc_leaves_files_from_the_future(tmp_path, capsys):
    space = filled(tmp_path / "c")
    (space.path / "parts" / ".tmp-1").write_bytes(b"half")
    for path in (tmp_path / "c").rglob("*"):
        os.utime(path, (time.time() + 7200, time.time() + 7200))
    assert not result(capsys, "gc", tmp_path / "c", "--yes")["removed"]
    assert result(capsys, "gc", tmp_path / "c", "--yes", "--min-age", "0")["removed"]
    assert not list((tmp_path / "c").rglob(".tmp-*"))


def test_a_read_only_cache_is_read(tmp_path, capsys):
    if os.name == "nt" or os.geteuid() == 0:
        pytest.skip("needs a user whom permissions bind (not root, not Windows)")
    space = filled(tmp_path / "c")
    for path in [tmp_path / "c", *(tmp_path / "c").rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert len(space.index()) == 40
        assert result(capsys, "verify", tmp_path / "c")["damaged"] == []
        assert main(["compact", str(tmp_path / "c")]) == 1
    finally:
        for path in [tmp_path / "c", *(tmp_path / "c").rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_options_stand_on_either_side(tmp_path, capsys):
    filled(tmp_path / "c", parts=1)
    assert main(["--json", "info", str(tmp_path / "c")]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == 2


def test_a_space_is_chosen_where_there_are_several(tmp_path, capsys):
    filled(tmp_path / "c", parts=1)
    other = FeatureCache.open(tmp_path / "c").add_space({**DESCRIPTION, "layer": "first"}, 8)
    other.write_dataset("photos").finish()
    assert main(["pack", str(tmp_path / "c"), str(tmp_path / "o.h5")]) == 2
    assert "2 feature spaces" in capsys.readouterr().err


def test_verify_names_the_rows_whose_features_are_gone(tmp_path, capsys):
    space = filled(tmp_path / "c", parts=3)
    part = space.part_paths()[1]
    digests = {bytes(digest) for digest in open_part(part, space.id, 8).digests}
    part.unlink()
    report = result(capsys, "verify", tmp_path / "c", code=1)
    expected = [row.path for row in space.rows() if row.digest in digests]
    assert report["damaged"] == []
    assert [(lost["dataset"], lost["path"]) for lost in report["missing"]] == [
        ("photos", path) for path in expected
    ]
    assert main(["verify", str(tmp_path / "c")]) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"photos: the features of 10 images are gone: {expected[0]}, ")
    assert "0 damaged, 10 missing; the next extraction computes what is lost again" in out


def test_verify_names_the_rows_of_a_part_that_it_sets_aside(tmp_path, capsys):
    space = filled(tmp_path / "c", parts=3)
    part = space.part_paths()[1]
    part.write_bytes(part.read_bytes()[:-1] + b"\1")
    report = result(capsys, "verify", tmp_path / "c", code=1)
    assert (len(report["damaged"]), len(report["missing"])) == (1, 10)


@pytest.mark.parametrize("gone", ["whole", "first", "second", "all"])
def test_verify_notices_segments_that_are_gone(tmp_path, capsys, gone):
    space = filled(tmp_path / "c", parts=1)
    if gone != "whole":
        writer = space.write_dataset("more")
        for row in space.rows()[:3]:
            writer.append([row])
    assert not result(capsys, "verify", tmp_path / "c")["missing"]
    folders = {p.parent: p.read_text() for p in space.path.glob("datasets/*/dataset.json")}
    name = "photos" if gone == "whole" else "more"
    (folder,) = (folder for folder, text in folders.items() if f'"{name}"' in text)
    segments = sorted(folder.glob("*.h5"))
    wanted = {"whole": segments, "first": segments[:1], "second": segments[1:2], "all": segments}
    for path in wanted[gone]:
        path.unlink()
    report = result(capsys, "verify", tmp_path / "c", code=1)
    assert report["missing"] == [{"dataset": name, "path": ""}]
    assert main(["verify", str(tmp_path / "c")]) == 1
    assert f"{name}: rows of it are gone\n" in capsys.readouterr().out


@pytest.mark.parametrize("record", ["space.json", "datasets/*/dataset.json"])
def test_a_record_that_is_gone_is_noticed_and_gc_leaves_what_it_was_of(tmp_path, capsys, record):
    space = filled(tmp_path / "c")
    (path,) = space.path.glob(record)
    path.unlink()
    for name in (tmp_path / "c").rglob("*"):
        os.utime(name, (0, 0))
    before = files(tmp_path / "c")
    verified = result(capsys, "verify", tmp_path / "c", code=1)
    assert str(path) in verified["damaged"][0].values()
    result(capsys, "gc", tmp_path / "c", "--yes", "--min-age", "0")
    assert files(tmp_path / "c").items() >= before.items()
    filled(tmp_path / "c")
    assert result(capsys, "verify", tmp_path / "c")["damaged"] == []
    assert len(FeatureCache.open(tmp_path / "c").space().rows()) == 40
