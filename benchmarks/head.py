"""The head alone, on features that are cached: fit_head against Keras and scikit-learn.

python -m benchmarks.head
"""

import argparse
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measuring.legs import add_pause, open_legs
from benchmarks.measuring.options import add_work, benchmark_parser, finish
from benchmarks.measuring.process import python, run
from benchmarks.measuring.record import table
from benchmarks.product import fit
from cache.commandline.command import Console, run_command

# Rows and floats of each synthetic cache: two like VGG16's at fc2, a large one like SqueezeNet's
# (VGG16's would be 16 GB).
_SIZES = ((5_000, 4096), (25_000, 4096), (1_000_000, 512))
_QUICK_SIZES = ((500, 64),)

_WAYS = (
    "fit_head, lbfgs", "fit_head, adam", "fit_head, lbfgs, with its report",
    "Keras, adam", "scikit-learn, lbfgs",
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "head",
        "Train a softmax layer on synthetic cached features with fit_head, Keras and "
        "scikit-learn, each as a process of its own. Stopped, the same command goes on.",
        "",
    )
    parser.add_argument(
        "--largest", type=int, metavar="N", help="leave out caches of more rows (default: none)"
    )
    add_pause(parser)
    add_work(parser)
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    work = arguments.work / ("head-quick" if arguments.quick else "head")
    if arguments.quick:
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    legs = open_legs(work / "legs.json", arguments, console)
    results: dict[str, Any] = {}
    for rows, dimension in _QUICK_SIZES if arguments.quick else _SIZES:
        if arguments.largest and rows > arguments.largest:
            continue
        cache = work / f"{rows}"
        console.say(f"{rows:,} rows of {dimension:,} floats")
        measured = {}
        for way in _WAYS:
            measure = partial(_measured, way, cache, rows, dimension)
            measured[way] = legs.leg(f"{rows}/{way}", measure)
        shutil.rmtree(cache, ignore_errors=True)
        results[str(rows)] = {"rows": rows, "dimension": dimension, "ways": measured}
    finish(arguments, console, "head", {"sizes": results}, summary({"sizes": results}))
    shutil.rmtree(work)


def _measured(way: str, cache: Path, rows: int, dimension: int) -> dict[str, Any]:
    """Run one way three times, or once on the smallest and largest; return the median run."""
    if not cache.exists():
        run(python("benchmarks.inputs.synthetic", str(cache), str(rows), str(dimension)))
    runs = []
    for _ in range(3 if 1_000 <= rows <= 100_000 else 1):
        if way.startswith("fit_head"):
            solver = "adam" if "adam" in way else "lbfgs"
            found = fit(cache, "--solver", solver, report="report" in way)
            test = found.pop("report")["test"]
            runs.append({**found, "test": {key: test[key] for key in ("loss", "accuracy")}})
            continue
        library = "keras" if way.startswith("Keras") else "sklearn"
        done = run(
            python("benchmarks.baselines.same_features", library, "--cache", str(cache), "--json")
        )
        runs.append({**done.payload(), **done.result})
    return sorted(runs, key=lambda entry: entry["seconds"])[len(runs) // 2]


def summary(results: dict[str, Any]) -> str:
    """Return the results as text with a Markdown table."""
    lines = []
    for size in results["sizes"].values():
        rows = [
            [
                way,
                f"{entry['seconds']:.2f}",
                f"{entry['peak_mib']:,.0f}",
                f"{entry['test']['loss']:.4f}",
                f"{entry['test']['accuracy']:.4f}",
            ]
            for way, entry in size["ways"].items()
        ]
        lines.append(f"{size['rows']:,} rows of {size['dimension']:,} floats, whole processes")
        header = ["way", "seconds", "peak MiB", "test loss", "test accuracy"]
        lines.append(table(header, rows))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
