"""One source by several processes, each a share of it, without a scheduler."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import write_pictures
from content_samples import content

from cache.__main__ import main as cache_main
from engine.extract import main as extract_main
from engine.fit_head import main as fit_main

ROOT = Path(__file__).parents[2]

# Writes many parts, and slowly.
SLOW = """
import sys, time
from engine.runner import step
step.PART_BYTES = 1
flush = step.PartWriter.flush
def slow(self):
    flush(self)
    time.sleep(0.1)
step.PartWriter.flush = slow
from engine.extract import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def options(tiny_backbone):
    return ["--backbone", str(tiny_backbone), "--preprocessing", "torch"]


def extract(capsys, *arguments, code=0):
    capsys.readouterr()
    assert extract_main([*map(str, arguments), "--json"]) == code
    out, err = capsys.readouterr()
    return (json.loads(out) if code == 0 else None), err


def start(*arguments, slow=False):
    how = ["-c", SLOW] if slow else ["-m", "engine.extract"]
    return subprocess.Popen(
        [sys.executable, *how, *map(str, arguments), "--quiet"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_shards_at_once_and_one_of_them_killed_give_what_one_process_gives(
    tmp_path, options, capsys
):
    pictures = write_pictures(tmp_path / "pictures", 24)
    shutil.copy(pictures / "spots" / "0.jpg", pictures / "spots" / "copy.jpg")
    (pictures / "spots" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    many, one = tmp_path / "many" / "c", tmp_path / "one" / "c"
    prepared, _ = extract(capsys, pictures, "--cache", many, *options, "--prepare")
    assert prepared["precision"] == "fp32"
    shards = [["--shard", f"{index}/3"] for index in range(3)]
    arguments = [pictures, "--cache", many, *options]
    killed = start(*arguments, *shards[1], slow=True)
    others = [start(*arguments, *shard, slow=True) for shard in (shards[0], shards[2])]
    while sum(1 for _ in many.glob("spaces/*/datasets/*/*rows_1_3*")) < 3:
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert [process.wait() for process in others] == [0, 0]
    assert start(*arguments, *shards[1]).wait() == 0
    extract(capsys, pictures, "--cache", one, *options)
    assert content(many.parent) == content(one.parent)
    features = content(many.parent).features
    assert sum(map(len, features.values())) == 48
    assert cache_main(["verify", str(many), "--json"]) == 0
    # Everything is there for a run over all of it, and for a head.
    again, _ = extract(capsys, *arguments)
    assert (again["computed"], again["hits"], again["samples"]) == (0, 48, 50)
    assert fit_main(["--cache", str(many), "--out", str(tmp_path / "head"), "--no-report"]) == 0


def test_copies_of_a_prepared_cache_are_merged(tmp_path, pictures, options, capsys):
    extract(capsys, pictures, "--cache", tmp_path / "c0", *options, "--prepare")
    shutil.copytree(tmp_path / "c0", tmp_path / "c1")
    samples = 0
    for index in range(2):
        shard = ["--cache", tmp_path / f"c{index}", "--shard", f"{index}/2"]
        result, _ = extract(capsys, pictures, *shard, *options)
        assert result["share"] == [index, 2]
        samples += result["samples"]
    assert samples == 24
    assert cache_main(["merge", str(tmp_path / "c0"), str(tmp_path / "c1")]) == 0
    (tmp_path / "merged").mkdir()
    (tmp_path / "c0").rename(tmp_path / "merged" / "c")
    extract(capsys, pictures, "--cache", tmp_path / "one" / "c", *options)
    assert content(tmp_path / "merged") == content(tmp_path / "one")


def test_shards_take_the_prepared_int8_model_and_make_none(tmp_path, options, capsys, monkeypatch):
    pictures = write_pictures(tmp_path / "pictures", 20)
    cache = ["--cache", tmp_path / "c"]
    _, err = extract(
        capsys, pictures, *cache, *options, "--shard", "0/2", "--precision", "int8", code=1
    )
    assert "prepare the cache with the whole source first" in err
    prepared, _ = extract(capsys, pictures, *cache, *options, "--prepare", "--precision", "int8")
    assert prepared["precision"] == "int8"

    from engine.precision import choice

    def calibrate(*_):
        raise AssertionError("calibrated")

    monkeypatch.setattr(choice, "calibration_set", calibrate)
    for index in range(2):
        shard, _ = extract(capsys, pictures, *cache, *options, "--shard", f"{index}/2")
        assert shard["space"] == prepared["space"]


def test_a_shard_of_what_was_not_prepared_is_fp32_and_says_so(tmp_path, pictures, options, capsys):
    result, err = extract(capsys, pictures, "--cache", tmp_path / "c", *options, "--shard", "1/2")
    assert result["precision"] == "fp32"
    assert "was not prepared" in result["precision_reason"]
    assert "was not prepared" in err
    assert "share 1 of 2 (from 0)" in err


def test_a_shard_without_images_is_no_failure(tmp_path, options, capsys):
    pictures = write_pictures(tmp_path / "pictures", 1)
    cache = ["--cache", tmp_path / "c", *options]
    results = [extract(capsys, pictures, *cache, "--shard", f"{i}/9")[0] for i in range(9)]
    samples = [result["samples"] for result in results]
    assert 0 in samples
    assert sum(samples) == 2


@pytest.mark.parametrize("text", ["3", "3/", "/3", "a/b", "3/3", "-1/3", "1.0/3"])
def test_what_is_no_shard_is_a_usage_error(tmp_path, capsys, text):
    code = 2
    try:
        code = extract_main([str(tmp_path), "--cache", str(tmp_path / "c"), f"--shard={text}"])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
