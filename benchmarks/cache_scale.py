"""Does the cache keep its speed as it grows? Prints a table, writes results/cache_scale.json.

    python -m benchmarks.cache_scale [--rows 1000000] [--wide 100000] [--parts 10000] [--folder DIR]

Synthetic vectors. Needs about 4 GB of disk below DIR, and deletes them. Files are in the page cache
when they are read, as after an extraction: what is measured is this code, not the disk.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.measuring.process import python
from benchmarks.measuring.record import RESULTS, record, write_record
from cache.compact import compact
from cache.part import open_part
from cache.store import FeatureCache, Space

NARROW, WIDE = 64, 4096
LOOKED_UP = 25_000
SMALL_ROWS = 10
APPENDED = 1000

# Timings of each figure; the median is told, all are written.
REPEATS = 5


def main() -> int:
    """Measure and report; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the large cache")
    parser.add_argument("--wide", type=int, default=100_000, help="rows of 4,096 floats")
    parser.add_argument("--parts", type=int, default=10_000, help="small parts")
    parser.add_argument("--folder", help="where to write (default: the temporary folder)")
    parser.add_argument("--look-up", metavar="CACHE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rows < LOOKED_UP:
        parser.error(f"--rows: at least {LOOKED_UP}, for so many are looked up")
    if options.look_up:
        print(json.dumps(_look_up(Path(options.look_up))))
        return 0
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    figures: dict[str, Any] = {}
    try:
        figures |= _large(folder / "large", options.rows)
        figures |= _wide(folder, options.wide)
        figures |= _many(folder / "many", options.parts)
    finally:
        shutil.rmtree(folder)
    _report(figures, vars(options))
    return 0


def _large(path: Path, rows: int) -> dict[str, Any]:
    """Append to an empty and to a large cache; look up in the large one."""
    space = FeatureCache.create(path).add_space({"backbone": "synthetic"}, NARROW)
    rng = np.random.default_rng(0)
    figures = {"append of 1,000 rows to an empty cache, s": _appends(space, rng)}
    part = 32 * 2**20 // (4 * NARROW)
    for start in range(0, rows, part):
        _append(space, rng, min(part, rows - start))
    figures[f"append of 1,000 rows to {rows:,} rows, s"] = _appends(space, rng)
    command = [*python("benchmarks.cache_scale"), "--look-up", str(path)]
    runs = [json.loads(subprocess.check_output(command)) for _ in range(REPEATS)]
    for name in runs[0]:
        figures[f"{name} ({rows:,} rows)"] = [run[name] for run in runs]
    shutil.rmtree(path)
    return figures


def _append(space: Space, rng: np.random.Generator, rows: int) -> None:
    digests = rng.integers(0, 256, (rows, 32), dtype=np.uint8)
    space.append(digests, rng.standard_normal((rows, space.dimension), dtype=np.float32))


def _appends(space: Space, rng: np.random.Generator) -> list[float]:
    return [_seconds(lambda: _append(space, rng, APPENDED)) for _ in range(REPEATS)]


def _look_up(path: Path) -> dict[str, float]:
    """Open a cache in a process of its own and look digests up: half of them are there."""
    rng = np.random.default_rng(1)
    (space,) = FeatureCache.open(path).spaces()
    wanted = rng.integers(0, 256, (LOOKED_UP, 32), dtype=np.uint8)
    largest = max(space.part_paths(), key=lambda path: path.stat().st_size)
    wanted[::2] = open_part(largest, space.id, NARROW).digests[: LOOKED_UP // 2]
    started = time.perf_counter()
    index = space.index()
    opened = time.perf_counter()
    found = index.contains(wanted)
    looked = time.perf_counter()
    index.read(wanted[found])
    read = time.perf_counter()
    assert found.sum() == LOOKED_UP // 2
    return {
        "open, s": opened - started,
        "look up 25,000 digests, s": looked - opened,
        "open and look up, s": looked - started,
        "read 12,500 features, s": read - looked,
        "peak memory of the process, MB": _peak_memory(),
    }


def _peak_memory() -> float:
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _wide(folder: Path, rows: int) -> dict[str, Any]:
    """Read a cache of wide features from end to end, against h5py on one contiguous file."""
    space = FeatureCache.create(folder / "wide").add_space({"backbone": "synthetic"}, WIDE)
    rng = np.random.default_rng(2)
    part = 64 * 2**20 // (4 * WIDE)
    for start in range(0, rows, part):
        _append(space, rng, min(part, rows - start))
    _write_plain(folder / "plain.h5", space, rows)
    index = space.index()
    size = rows * WIDE * 4 / 1e9
    ours, plain, whole = [], [], []
    for _ in range(REPEATS):  # in turn, so that both meet the same machine
        ours.append(size / _seconds(lambda: _drain(index.blocks())))
        plain.append(size / _seconds(lambda: _read_plain(folder / "plain.h5", 64)))
        whole.append(size / _seconds(lambda: _read_plain(folder / "plain.h5", 4096)))
    shutil.rmtree(folder / "wide")
    (folder / "plain.h5").unlink()
    ratios = [a / max(b, c) for a, b, c in zip(ours, plain, whole, strict=True)]
    return {
        f"sequential read of {size:.1f} GB, GB/s": ours,
        "the same by h5py, one contiguous file, 1 MiB at a time, GB/s": plain,
        "the same by h5py, 64 MiB at a time, GB/s": whole,
        "ours to the faster of h5py's": ratios,
    }


def _write_plain(path: Path, space: Space, rows: int) -> None:
    with h5py.File(path, "w") as file:
        features = file.create_dataset("features", (rows, WIDE), "<f4")
        start = 0
        for _, values in space.index().blocks():
            features[start : start + len(values)] = values
            start += len(values)


def _read_plain(path: Path, rows: int) -> None:
    with h5py.File(path, "r") as file:
        features = file["features"]
        buffer = np.empty((rows, WIDE), np.float32)
        for start in range(0, len(features), rows):
            end = min(start + rows, len(features))
            features.read_direct(buffer[: end - start], np.s_[start:end])


def _drain(blocks: Iterator[Any]) -> None:
    for _ in blocks:
        pass


def _many(path: Path, parts: int) -> dict[str, Any]:
    """Open and compact a cache of many small parts."""
    cache = FeatureCache.create(path)
    space = cache.add_space({"backbone": "synthetic"}, NARROW)
    rng = np.random.default_rng(3)
    with _without_fsync():
        for _ in range(parts):
            _append(space, rng, SMALL_ROWS)
    opens = [_seconds(space.index) for _ in range(REPEATS)]
    seconds = _seconds(lambda: compact(cache))
    after = len(space.part_paths())
    shutil.rmtree(path)
    return {
        f"open a cache of {parts:,} small parts, s": opens,
        f"compact it to {after} part(s), s": [seconds],
    }


@contextmanager
def _without_fsync() -> Iterator[None]:
    """Make a test bed quickly: it need not outlive a power cut."""
    original = os.fsync
    os.fsync = lambda fd: None  # noqa: ARG005
    try:
        yield
    finally:
        os.fsync = original


def _seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _report(figures: dict[str, list[float]], options: dict[str, Any]) -> None:
    for name, values in figures.items():
        print(f"{name:<70}{statistics.median(values):>10.4g}")
    kept = {key: value for key, value in options.items() if key in ("rows", "wide", "parts")}
    write_record(RESULTS, record("cache_scale", kept, {"figures": figures}))


if __name__ == "__main__":
    sys.exit(main())
