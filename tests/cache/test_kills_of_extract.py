"""The cache as the commands use it, with a small backbone: damage, strange names, many at once."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
from conftest import write_pictures
from fault_harness import state

import engine.runner.step
from cache.__main__ import main as cache_main
from engine.extract import main as extract_main
from engine.fit_head import main as fit_main

# ONCEOVER_ROUNDS=20 for a thorough search.
ROUNDS = int(os.environ.get("ONCEOVER_ROUNDS", "2"))

ROOT = Path(__file__).parents[2]


@pytest.fixture
def options(tiny_backbone):
    return ["--backbone", str(tiny_backbone), "--preprocessing", "torch", "--precision", "fp32"]


def extract(capsys, source, cache, options, code=0):
    capsys.readouterr()
    assert extract_main([str(source), "--cache", str(cache), *options, "--json"]) == code
    out = capsys.readouterr().out
    return json.loads(out) if code == 0 else None


def test_exactly_the_images_of_a_damaged_part_are_computed_again(
    tmp_path, pictures, options, capsys, monkeypatch
):
    monkeypatch.setattr(engine.runner.step, "PART_BYTES", 4 * 24 * 8)
    assert extract(capsys, pictures, tmp_path / "c", options)["computed"] == 24
    before = state(tmp_path)
    part = next((tmp_path / "c").glob("spaces/*/parts/*.h5"))
    with h5py.File(part) as file:
        held = len(file["digests"])
    data = bytearray(part.read_bytes())
    data[-5] ^= 4
    part.write_bytes(data)
    assert cache_main(["verify", str(tmp_path / "c"), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [entry["path"] for entry in report["damaged"]] == [str(part)]
    assert not part.exists()
    again = extract(capsys, pictures, tmp_path / "c", options)
    assert (again["computed"], again["hits"]) == (held, 24 - held)
    assert 0 < held < 24
    assert state(tmp_path) == before
    assert cache_main(["verify", str(tmp_path / "c"), "--json"]) == 0


def test_a_damaged_part_is_told_in_one_line_and_computed_again(tmp_path, pictures, options, capsys):
    extract(capsys, pictures, tmp_path / "c", options)
    (part,) = (tmp_path / "c").glob("spaces/*/parts/*.h5")
    part.write_bytes(part.read_bytes()[:1500])
    arguments = [str(pictures), "--cache", str(tmp_path / "c"), *options, "--quiet", "--json"]
    assert extract_main(arguments) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["computed"] == 24
    (line,) = captured.err.splitlines()
    assert line.startswith("warning: ")
    assert line.endswith("set aside, the next extraction computes its images again")


def test_damaged_records_are_mended_by_the_next_extraction(tmp_path, pictures, options, capsys):
    extract(capsys, pictures, tmp_path / "c", options)
    before = state(tmp_path)
    for path in (tmp_path / "c").rglob("*.json"):
        path.write_bytes(path.read_bytes()[:-3])
    assert extract(capsys, pictures, tmp_path / "c", options)["hits"] == 24
    assert state(tmp_path) == before


STRANGE = ["a\nb", "\x1b[31mred\x07", "\u202egpj.exe", "\u2028", "'\"&<>", "\U0001f408", " "]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_strange_names_break_neither_table_nor_terminal(tmp_path, pictures, options, capsys):
    cache, head = tmp_path / "\x1b[2J\u202ecache\udcff\n", tmp_path / "\x1b[2Jhead\n"
    source = tmp_path / "\x1b[2J\u202esource\udcff\n"
    source.mkdir()
    for number, label in enumerate(["cat\udcff\x1b[1m", "dog\n\u202e"]):
        (source / label).mkdir()
        files = sorted(pictures.glob("*/*.jpg"))[number::2]
        for name, file in zip([*STRANGE, *map(str, range(5))], files, strict=True):
            shutil.copy(file, source / label / f"{name}.jpg")
    (source / "dog\n\u202e" / "bad\x9b1m.jpg").write_bytes(b"no image")
    # What no file system takes, but an archive or a CSV may hold.
    (tmp_path / "long.csv").write_text(f"path,label\n{'x' * 4000},{'y' * 4000}\n")
    assert extract(capsys, source, cache, options)["computed"] == 24
    extract(capsys, tmp_path / "long.csv", cache, options, code=1)  # its one image is missing

    def no_feature(arguments):
        return 0 if extract_main(arguments) == 1 else 1

    commands = [
        (extract_main, [str(source), "--cache", str(cache), *options]),
        (no_feature, [str(tmp_path / "long.csv"), "--cache", str(cache), *options]),
        (cache_main, ["info", str(cache)]),
        (fit_main, ["--cache", str(cache), "--out", str(head)]),
        (cache_main, ["pack", str(cache), str(tmp_path / "out.h5")]),
        (cache_main, ["verify", str(cache)]),
    ]
    for command, arguments in commands:
        assert command(arguments) == 0, arguments
        captured = capsys.readouterr()
        for text in (captured.out, captured.err):
            assert not set("\x1b\x07\x9b\u202e\u2028") & set(text), text
            assert max(map(len, text.splitlines()), default=0) < 2100
    page = (head / "report.html").read_text(encoding="utf-8")
    assert not set("\x1b\x07\x9b\u202e\u2028") & set(page)
    with h5py.File(tmp_path / "out.h5") as file:
        paths = [path.decode("utf-8") for path in file["paths"]]
    assert f"cat\\udcff\x1b[1m/{STRANGE[0]}.jpg" in paths  # what is no UTF-8 is written out


@pytest.mark.parametrize("round_", range(ROUNDS))
@pytest.mark.slow
def test_four_processes_at_once_give_what_one_gives(tmp_path, options, capsys, round_):
    everything = write_pictures(tmp_path / "all", 20, seed=round_)
    files = sorted(everything.glob("*/*.jpg"))
    sources = []
    for number in range(4):  # each shares half of its pictures with the next
        sources.append(tmp_path / f"source{number}")
        for file in [*files, *files][10 * number : 10 * number + 20]:
            place = sources[-1] / file.parent.name / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
    command = [sys.executable, "-m", "engine.extract"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            [*command, source, "--cache", tmp_path / "many" / "c", *options, "--quiet"],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        for source in sources
    ]
    assert [process.wait() for process in processes] == [0] * 4
    for source in sources:
        extract(capsys, source, tmp_path / "one" / "c", options)
    many, one = state(tmp_path / "many"), state(tmp_path / "one")
    assert many == one
    assert sum(map(len, one.features.values())) == 40


def test_a_read_only_cache_is_used_and_said_to_be(tmp_path, pictures, options, capsys):
    if os.name == "nt" or os.geteuid() == 0:
        pytest.skip("needs a user whom permissions bind (not root, not Windows)")
    extract(capsys, pictures, tmp_path / "c", options)
    entries = [tmp_path / "c", *(tmp_path / "c").rglob("*")]
    for path in entries:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        extract(capsys, pictures, tmp_path / "c", options, code=1)
        assert "check the permissions, or choose another place" in capsys.readouterr().err
        assert fit_main(["--cache", str(tmp_path / "c"), "--out", str(tmp_path / "head")]) == 0
        assert cache_main(["pack", str(tmp_path / "c"), str(tmp_path / "out.h5")]) == 0
        assert cache_main(["verify", str(tmp_path / "c")]) == 0
    finally:
        for path in entries:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_source_that_vanishes_loses_nothing(tmp_path, pictures, options, capsys):
    extract(capsys, pictures, tmp_path / "c", options)
    before = state(tmp_path)
    pictures.rename(tmp_path / "elsewhere")
    extract(capsys, pictures, tmp_path / "c", options, code=1)
    assert state(tmp_path) == before
