"""A cache of many parts by many writers: how soon it opens, and a compaction while others read.

python -m benchmarks.parts

Real processes write, some at a time, each its own parts and a tenth of its neighbour's digests once
more; each part is synced to disk as any is. A new process opens the cache. Then it is compacted
while one reader goes on with the parts that it opened before, and another opens anew again and
again. A feature is made of its digest, so each that is read is checked.
"""

import argparse
import json
import shutil
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import numpy as np

from benchmarks.measuring.machine import ROOT
from benchmarks.measuring.options import add_work, benchmark_parser, finish, positive
from benchmarks.measuring.process import python, run
from benchmarks.measuring.record import table
from cache.commandline.command import Console, run_command
from cache.compact import compact
from cache.failures import Failure
from cache.index import Index
from cache.store import FeatureCache
from cache.verify import verify

_WIDTH, _ROWS = 64, 10
_AT_ONCE, _OPENS = 5, 5
_LOOKED_UP = 10_000


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, or one of its processes; return its exit code."""
    parser = benchmark_parser("parts", (__doc__ or "").splitlines()[0], "--writers 50")
    add_work(parser)
    parser.add_argument("--writers", type=positive, default=50, metavar="N", help="default: 50")
    parser.add_argument(
        "--parts", type=positive, default=200, metavar="N", help="of each writer (default: 200)"
    )
    parser.add_argument("--write", type=int, metavar="I", help=argparse.SUPPRESS)
    parser.add_argument("--open", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    path = arguments.work / "parts"
    if arguments.write is not None:
        _write(path, arguments.write, arguments.parts)
    elif arguments.open:
        print(json.dumps(_opened(path)))
    elif arguments.read:
        print(json.dumps(_read_on(path)))
    else:
        if arguments.quick:
            arguments.writers, arguments.parts = 4, 5
        shutil.rmtree(path, ignore_errors=True)
        results = _measured(path, arguments, console)
        shutil.rmtree(path)
        finish(arguments, console, "parts", results, summary(results))


def _measured(path: Path, arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    space = FeatureCache.create(path).add_space({"backbone": "synthetic"}, _WIDTH)
    command = [*python("benchmarks.parts"), "--work", str(path.parent)]
    command += ["--parts", str(arguments.parts)]

    def write(number: int) -> None:
        run([*command, "--write", str(number)])

    started = time.perf_counter()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(write, range(arguments.writers)))
    writing = time.perf_counter() - started
    parts = len(list(space.part_paths()))
    console.say(f"{arguments.writers} writers wrote {parts:,} parts")
    opens = [run([*command, "--open"]).result for _ in range(_OPENS)]
    rows = arguments.writers * arguments.parts * _ROWS
    if any(each["rows"] != rows for each in opens):
        raise Failure(f"the cache does not hold {rows:,} rows, each once")
    reader = Popen([*command, "--read"], stdout=PIPE, stdin=PIPE, text=True, cwd=ROOT)
    assert reader.stdin is not None
    assert reader.stdout is not None
    reader.stdout.readline()  # it has opened all parts
    started = time.perf_counter()
    (compacted,) = compact(FeatureCache.open(path))
    seconds = time.perf_counter() - started
    out, _ = reader.communicate("compacted\n")
    if reader.returncode:
        raise Failure("the reader failed while the cache was compacted")
    verified = verify(FeatureCache.open(path))
    if not verified.is_sound or not compacted.rows_after == rows == _check(space.index()):
        raise Failure("rows are lost, or damaged")
    return {
        "rows": rows,
        "parts": parts,
        "writing_seconds": round(writing, 2),
        "open_seconds": [round(each["seconds"], 4) for each in opens],
        "open_cpu_seconds": [round(each["cpu_seconds"], 4) for each in opens],
        "compact_seconds": round(seconds, 2),
        "parts_after": compacted.parts_after,
        "reader": json.loads(out),
    }


def _features(digests: np.ndarray) -> np.ndarray:
    """Return the feature that each digest stands for, float32 (N, _WIDTH)."""
    return np.tile(digests.astype(np.float32), (1, _WIDTH // 32))


def _digests(writer: int, part: int) -> np.ndarray:
    return np.random.default_rng((writer, part)).integers(0, 256, (_ROWS, 32), np.uint8)


def _write(path: Path, writer: int, parts: int) -> None:
    (space,) = FeatureCache.open(path).spaces()
    for part in range(parts):
        digests = _digests(writer, part)
        # One image of the neighbour's as well: both computed it, at the same moment.
        again = _digests(max(0, writer - 1), part)[:1] if writer else digests[:0]
        both = np.concatenate([digests, again])
        space.append(both, _features(both))


def _opened(path: Path) -> dict[str, float]:
    cpu, started = time.process_time(), time.perf_counter()
    (space,) = FeatureCache.open(path).spaces()
    index = space.index()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {"seconds": seconds, "cpu_seconds": cpu, "rows": _check(index)}


def _read_on(path: Path) -> dict[str, int]:
    """Read until stdin has a line: with an index of before, and with new ones."""
    (space,) = FeatureCache.open(path).spaces()
    before = space.index()
    digests = np.concatenate([digests.copy() for digests, _ in before.blocks()])
    print("opened", flush=True)
    counts = dict.fromkeys(("passes_old_index", "passes_new_index", "begun_again"), 0)
    checked = 0
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(sys.stdin.readline)
        while not ended.done() or not counts["passes_new_index"]:
            for start in range(0, len(digests), _LOOKED_UP):
                wanted = digests[start : start + _LOOKED_UP]
                _compare(wanted, before.read(wanted))
            counts["passes_old_index"] += 1
            checked += len(digests)
            try:
                checked += _check(space.index())
                counts["passes_new_index"] += 1
            except FileNotFoundError:  # compacted between two blocks, as `Index.blocks` says
                counts["begun_again"] += 1
    return {**counts, "features_checked": checked}


def _check(index: Index) -> int:
    """Return how many features there are, each once, all of them compared."""
    count = 0
    for digests, features in index.blocks():
        _compare(digests, features)
        count += len(digests)
    return count


def _compare(digests: np.ndarray, features: np.ndarray) -> None:
    if not np.array_equal(features, _features(digests)):
        raise Failure("a feature is not its digest's")


def summary(results: dict[str, Any]) -> str:
    """Return the table."""
    reader = results["reader"]
    rows = [
        [
            f"open {results['parts']:,} parts, s",
            f"{statistics.median(results['open_seconds']):.2f}",
        ],
        ["the same, CPU seconds", _median(results["open_cpu_seconds"])],
        [f"compact them to {results['parts_after']}, s", f"{results['compact_seconds']:.1f}"],
        ["features read meanwhile, all right", f"{reader['features_checked']:,}"],
    ]
    return table(["", ""], rows)


def _median(values: list[float]) -> str:
    return f"{statistics.median(values):.2f}"


if __name__ == "__main__":
    sys.exit(main())
