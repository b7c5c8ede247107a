"""What the first extraction with `auto` adds: making int8 and comparing it, in images' worth.

python -m benchmarks.overhead SOURCE --backbone NAME
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.inputs.synthetic import make_tiny_job
from benchmarks.measuring.options import add_source, benchmark_parser, finish, positive
from benchmarks.measuring.process import Run, python, run
from benchmarks.measuring.record import table
from benchmarks.product import emptied
from cache.commandline.command import Console, run_command
from engine.backbones.options import add_backbone_options, request_from
from engine.backbones.store import exported_model


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "overhead",
        "Time extractions of the same images with nothing there, and with the int8 model there; "
        "what lies between, in images that the model could have run. The JSON is "
        "overhead_BACKBONE.json.",
        "PetImages.zip --weights random:0",
    )
    add_source(parser)
    add_backbone_options(parser)
    parser.add_argument(
        "--few", type=positive, default=300, metavar="N", help="images a class of the first; 300"
    )
    parser.add_argument(
        "--many", type=positive, default=600, metavar="N", help="and of a longer one; 600"
    )
    parser.add_argument("--rounds", type=positive, default=2, metavar="N", help="2")
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    with tempfile.TemporaryDirectory() as folder:
        precision = "auto"
        if arguments.quick:
            make_tiny_job(arguments, Path(folder))
            # `auto` makes no int8 model of so few images.
            arguments.few, arguments.many, arguments.rounds, precision = 10, 20, 1, "int8"
        request = request_from(arguments)
        exported_model(request)
        job = [arguments.source, *request.options(), "--precision", precision]
        rounds = []
        for number in range(arguments.rounds):
            console.say(f"round {number + 1} of {arguments.rounds}")
            rounds.append(_round(job, Path(folder) / "cache", (arguments.few, arguments.many)))
    name = Path(request.backbone).stem if request.is_file else request.backbone
    results = {"backbone": name, "rounds": rounds, **_worth(rounds)}
    finish(arguments, console, f"overhead_{name}", results, summary(results))


def _round(job: list[str], cache: Path, sizes: tuple[int, int]) -> dict[str, Any]:
    """Extract a few images with nothing there, the same and more with the model there."""
    shutil.rmtree(cache, ignore_errors=True)
    first = _extract(job, cache, sizes[0])
    emptied(cache)
    again = _extract(job, cache, sizes[0])
    emptied(cache)
    more = _extract(job, cache, sizes[1])
    return {
        "precision": first.result["precision"],
        "first": _payload(first),
        "again": _payload(again),
        "more": _payload(more),
    }


def _payload(done: Run) -> dict[str, Any]:
    return {**done.payload(), "images": done.result["computed"] + done.result["hits"]}


def _extract(job: list[str], cache: Path, limit: int) -> Run:
    options = ["--cache", str(cache), "--limit-per-class", str(limit), "--json", "--quiet"]
    return run([*python("engine.extract", *job), *options])


def _worth(rounds: list[dict[str, Any]]) -> dict[str, float]:
    """Return what an image takes, and how many of them the first extraction's surplus is worth."""
    each = statistics.median(
        (r["more"]["seconds"] - r["again"]["seconds"])
        / (r["more"]["images"] - r["again"]["images"])
        for r in rounds
    )
    surplus = statistics.median(r["first"]["seconds"] - r["again"]["seconds"] for r in rounds)
    return {
        "seconds_per_image": each,
        "surplus_seconds": surplus,
        "images_worth": surplus / each,
        "peak_mib": max(r["first"]["peak_mib"] for r in rounds),
    }


def summary(results: dict[str, Any]) -> str:
    """Return the results as a table."""
    rows = [
        [
            f"{one[name]['images']:,} images, {text}",
            *(f"{each[name]['seconds']:.2f}" for each in results["rounds"]),
        ]
        for name, text in (
            ("first", "nothing there"),
            ("again", "the model there"),
            ("more", "the model there"),
        )
        for one in results["rounds"][:1]
    ]
    header = ["", *(f"round {n + 1}, s" for n in range(len(results["rounds"])))]
    surplus, worth = results["surplus_seconds"], results["images_worth"]
    what = f"{results['backbone']}, {results['rounds'][0]['precision']}:"
    last = f"The first adds {surplus:.1f} s, as much as {worth:.0f} images take."
    return "\n".join([what, table(header, rows), last])


if __name__ == "__main__":
    sys.exit(main())
