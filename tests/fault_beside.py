"""Runs gc, merge and compact beside an extraction, aimed at each other, as real processes.

    python tests/fault_beside.py --rounds 60

Each round's cache holds features that no row names, two hours old: those of the pictures that an
extraction is about to want. A command on the cache begins so that it is at work when the
extraction begins to look at the cache. After both, each row that says `cached` has its feature,
and each feature is the one that an undisturbed extraction gives. Prints a line a command, and the
violations.
"""

import argparse
import contextlib
import io
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from conftest import write_pictures, write_tiny_backbone

import engine.extract
from cache.store import FeatureCache

COMMANDS = {
    "gc": lambda folder: ["gc", str(folder / "c"), "--yes"],
    "compact": lambda folder: ["compact", str(folder / "c")],
    "merge": lambda folder: ["merge", str(folder / "c"), str(folder / "d")],
}


def extract_argv(common: Path, cache: Path) -> list[str]:
    cut = ["--backbone", str(common / "tiny.onnx"), "--preprocessing", "torch"]
    return [str(common / "pictures"), "--cache", str(cache), *cut, "--precision", "fp32"]


def features(cache: Path) -> dict[bytes, bytes]:
    (space,) = FeatureCache.open(cache).spaces()
    return {
        bytes(key): bytes(value)
        for keys, values in space.index().blocks()
        for key, value in zip(keys, values, strict=True)
    }


def prepare(common: Path) -> None:
    """Make what each round begins with: parts of a few features each, without their rows."""
    write_pictures(common / "pictures", 60)
    write_tiny_backbone(common / "tiny.onnx")
    with contextlib.redirect_stdout(io.StringIO()):
        for limit in range(5, 61, 5):
            chosen = ["--limit-per-class", str(limit), "--quiet"]
            assert engine.extract.main([*extract_argv(common, common / "c"), *chosen]) == 0
        write_pictures(common / "others", 4, seed=9)
        other = extract_argv(common, common / "c")
        assert engine.extract.main([str(common / "others"), *other[1:], "--quiet"]) == 0
    shutil.copytree(common / "c", common / "d")
    (space,) = FeatureCache.open(common / "c").spaces()
    for folder in (space.path / "datasets").iterdir():
        if b"others" not in (folder / "dataset.json").read_bytes():
            shutil.rmtree(folder)


def fresh(common: Path) -> Path:
    folder = Path(tempfile.mkdtemp(dir=common))
    for name in ("c", "d"):
        shutil.copytree(common / name, folder / name)
    old = time.time() - 7200
    for path in folder.rglob("*"):
        os.utime(path, (old, old))
    return folder


def spawn(module: str, argv: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", module, *argv, "--quiet"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def aim(common: Path, command: str) -> tuple[float, float]:
    """Return between how many seconds after an extraction the command must begin to meet it.

    They meet where the command, which takes so long, is at work when the extraction's marker
    appears.
    """
    folder = fresh(common)
    (space,) = FeatureCache.open(folder / "c").spaces()
    before = set(space.path.glob("datasets/*/*.h5"))
    started = time.monotonic()
    process = spawn("engine.extract", extract_argv(common, folder / "c"))
    while set(space.path.glob("datasets/*/*.h5")) <= before and process.poll() is None:
        time.sleep(0.005)
    marker = time.monotonic() - started
    process.communicate()
    started = time.monotonic()
    spawn("cache", COMMANDS[command](fresh(common))).communicate()
    return marker - (time.monotonic() - started) - 0.1, marker + 0.1


def play(common: Path, command: str, delay: float, expected: dict[bytes, bytes]) -> str:
    """Run a round; return what is wrong, or nothing."""
    folder = fresh(common)
    processes = [spawn("engine.extract", extract_argv(common, folder / "c"))]
    time.sleep(max(0.0, delay))
    processes.append(spawn("cache", COMMANDS[command](folder)))
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    (space,) = FeatureCache.open(folder / "c").spaces()
    now = features(folder / "c")
    rows = [row for row in space.rows() if row.status == "cached"]
    lacking = [row.path for row in rows if row.digest not in now]
    shutil.rmtree(folder)
    if lacking or len(rows) != 128 or not now.items() <= expected.items():
        return f"{command} {delay:.2f} s after: {len(rows)} rows, {len(lacking)} without features"
    return ""


def main() -> int:
    """Run the rounds; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=60, help="of each command")
    parser.add_argument("--only", choices=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        common = Path(folder)
        os.environ["ONCEOVER_MODELS"] = str(common / "models")
        prepare(common)
        expected = features(common / "c")
        for command in COMMANDS if options.only is None else [options.only]:
            first, last = aim(common, command)
            delays = [rng.uniform(first, last) for _ in range(options.rounds)]
            wrong = list(filter(None, (play(common, command, d, expected) for d in delays)))
            print(*wrong, f"{command}: {len(delays)} rounds, {len(wrong)} violations", sep="\n")
            if wrong:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
