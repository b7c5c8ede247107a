"""One source by one process with threads, and by a Dask cluster: the same bits, in how long?

python -m benchmarks.cluster PHOTOGRAPHS --weights FILE.weights.h5 --images 20000

Both ways run in turn, each into a new cache. Start-up is what the same command takes for one image
of each class: it is told by itself, and taken off.
"""

import argparse
import os
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.inputs.photographs import repeated
from benchmarks.measuring.options import add_source, add_work, benchmark_parser, finish, positive
from benchmarks.measuring.record import table
from benchmarks.product import extract, make_quick
from cache.commandline.command import Console, run_command
from cache.failures import UsageFailure
from cache.store import FeatureCache

_FEW = ("--limit-per-class", "1")
_ALONE = "one process, threads"


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "cluster",
        "Extract a source by one process and by a Dask cluster, and compare features and time.",
        "PHOTOGRAPHS --weights FILE.weights.h5 --images 20000",
    )
    add_source(parser)
    add_work(parser)
    parser.add_argument("--backbone", default="mobilenet_v2", metavar="B")
    parser.add_argument("--weights", metavar="W", help="as of extract (default: imagenet)")
    parser.add_argument("--preprocessing", metavar="P", help="of a backbone from a file")
    parser.add_argument("--precision", default="fp32", metavar="P", help="default: fp32")
    parser.add_argument("--cluster", default="local:2", metavar="WHERE", help="default: local:2")
    parser.add_argument("--rounds", type=positive, default=1, metavar="N", help="default: 1")
    parser.add_argument(
        "--images", type=positive, metavar="N", help="so many, by repetition (default: as they are)"
    )
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    work: Path = arguments.work / "cluster"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    # So that no worker runs another exported model than the one process.
    os.environ.setdefault("ONCEOVER_MODELS", str(work / "models"))
    if arguments.quick:
        arguments.backbone = None
        make_quick(arguments, work)
    if arguments.source is None:
        raise UsageFailure("give a source of photographs, or --quick")
    source = Path(arguments.source)
    if arguments.images:
        source = repeated(source, arguments.images, arguments.work / f"{arguments.images}.zip")
    options = ["--backbone", arguments.backbone, "--precision", arguments.precision]
    for name in ("weights", "preprocessing"):
        if value := getattr(arguments, name):
            options += [f"--{name}", value]
    ways: dict[str, list[str]] = {_ALONE: [], arguments.cluster: ["--cluster", arguments.cluster]}
    extract(source, work / "first", options, *_FEW)  # exports the backbone
    started = {}
    for name, way in ways.items():
        started[name] = extract(source, work / "few", options, *way, *_FEW)
        shutil.rmtree(work / "few")
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for number in range(arguments.rounds):
        for name, way in ways.items():
            console.say(f"{name}, round {number + 1}")
            shutil.rmtree(work / name, ignore_errors=True)
            runs[name].append(extract(source, work / name, options, *way))
    results = {
        "images": runs[_ALONE][0]["report"]["samples"],
        "startup_seconds": {name: run["seconds"] for name, run in started.items()},
        "runs": runs,
        **_compared(work / _ALONE, work / arguments.cluster),
    }
    shutil.rmtree(work)
    finish(arguments, console, "cluster", results, summary(results))


def _contents(cache: Path) -> dict[bytes, bytes]:
    """Return the features of a cache's only space, by digest."""
    contents = dict[bytes, bytes]()
    for keys, values in FeatureCache.open(cache).space().index().blocks():
        contents.update(zip(map(bytes, keys), map(bytes, values), strict=True))
    return contents


def _compared(one: Path, other: Path) -> dict[str, int]:
    """Return how many features the caches have, and how many of them are the same bits in both."""
    alone, cluster = _contents(one), _contents(other)
    same = sum(cluster.get(digest) == feature for digest, feature in alone.items())
    return {"features": len(alone), "features_on_cluster": len(cluster), "same_bits": same}


def summary(results: dict[str, Any]) -> str:
    """Return the table, and whether the features are the same."""
    startup = results["startup_seconds"]
    net = {
        name: statistics.median(run["seconds"] for run in runs) - startup[name]
        for name, runs in results["runs"].items()
    }
    first = next(iter(net.values()))
    rows = [
        [name, f"{startup[name]:.1f}", f"{seconds:.1f}", f"{seconds / first:.2f}"]
        for name, seconds in net.items()
    ]
    header = ["", "start-up, s", "the rest, s", "to one process"]
    same, count = results["same_bits"], results["features"]
    others = results["features_on_cluster"]
    line = f"{same:,} of {count:,} features are the same bits; the cluster's cache has {others:,}"
    return f"{table(header, rows)}\n\n{results['images']:,} images; {line}"


if __name__ == "__main__":
    sys.exit(main())
