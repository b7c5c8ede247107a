"""Both ways on one machine in one run: end-to-end in Keras, and cached; and do they agree.

python -m benchmarks.compare [SOURCE]
"""

import argparse
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.comparison.agreement import agreement
from benchmarks.comparison.chart import draw_chart
from benchmarks.comparison.plan import Plan
from benchmarks.comparison.sooner import sooner_lines
from benchmarks.comparison.turns import measured
from benchmarks.inputs.photographs import draw, repeated
from benchmarks.measuring.legs import add_pause, open_legs
from benchmarks.measuring.options import (
    add_source,
    add_work,
    benchmark_parser,
    finish,
    names,
    numbers,
    positive,
    results_folder,
)
from benchmarks.measuring.record import table
from benchmarks.product import PRECISIONS, make_quick
from cache.commandline.command import Console, run_command
from engine.backbones.options import add_backbone_options


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "compare",
        "Time end-to-end training in Keras against extraction and fit_head, in turns; check that "
        "both give the same accuracy; draw the chart. Stopped, the same command goes on.",
        "PetImages.zip --weights vgg16_notop.h5 --fp32-images 256",
    )
    add_source(parser)
    add_backbone_options(parser)
    parser.add_argument(
        "--precisions", type=names, default=PRECISIONS, metavar="P,P", help="default: fp32,int8"
    )
    parser.add_argument(
        "--images",
        type=positive,
        default=4999,
        metavar="N",
        help="SOURCE is brought to N by repeating its images with distinct bytes (default: 4999)",
    )
    parser.add_argument(
        "--fp32-images",
        type=positive,
        metavar="N",
        help="extract N images of SOURCE in fp32 and extrapolate (default: all, int8 always all)",
    )
    parser.add_argument("--epochs", type=positive, default=10, metavar="N", help="default: 10")
    parser.add_argument("--batch-size", type=positive, default=128, metavar="N", help="Keras'; 128")
    parser.add_argument(
        "--steps", type=positive, default=5, metavar="N", help="timed of each Keras phase; 5"
    )
    parser.add_argument("--repeats", type=positive, default=5, metavar="N", help="warm runs; 5")
    parser.add_argument(
        "--real-backbone",
        metavar="NAME|FILE.keras",
        help="a network with trained weights, on which both ways run in full, to compare "
        "accuracies",
    )
    parser.add_argument(
        "--real-weights",
        default="own",
        metavar="FILE",
        help="of a named one, as vgg16's notop file",
    )
    parser.add_argument(
        "--real-preprocessing", default="caffe", metavar="NAME", help="its own (default: caffe)"
    )
    parser.add_argument(
        "--seeds", type=numbers, default=(0, 1, 2), metavar="S,S", help="of that (default: 0,1,2)"
    )
    add_pause(parser)
    add_work(parser)
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    work = arguments.work / ("compare-quick" if arguments.quick else "compare")
    work.mkdir(parents=True, exist_ok=True)
    if arguments.quick:
        _make_quick(arguments, work)
    given = Path(arguments.source) if arguments.source else draw(work / "drawn", 1000)
    source = repeated(given, arguments.images, work / f"{given.stem}-{arguments.images}.zip")
    legs = open_legs(work / "legs.json", arguments, console)
    plan = Plan(arguments, legs, given, source, work)
    results = measured(plan)
    results["agreement"] = agreement(plan, list(results["cached"]))
    results["charts"] = [path.name for path in draw_chart(results, results_folder(arguments))]
    finish(arguments, console, "compare", results, summary(results))
    shutil.rmtree(work)


def _make_quick(arguments: argparse.Namespace, work: Path) -> None:
    shutil.rmtree(work)
    work.mkdir()
    make_quick(arguments, work)
    arguments.images = min(arguments.images, 250)
    arguments.batch_size, arguments.steps = 16, min(arguments.steps, 3)
    arguments.repeats, arguments.seeds = 1, arguments.seeds[:1]
    arguments.real_backbone = arguments.real_backbone or arguments.backbone


def summary(results: dict[str, Any]) -> str:
    """Return the results as text with a Markdown table."""
    whole = next(iter(results["ratios"].values()))["end_to_end_seconds"]
    steps = results["end_to_end"]["phases"]["train"]["steps"]
    passes = results["schedule"]["backbone_passes"]
    batch = results["end_to_end"]["batch_size"]
    keras = f"end-to-end in Keras, extrapolated from {steps} steps of {batch} of each phase"
    memory = f"{results['end_to_end']['peak_mib']:,.0f}"
    rows = [[keras, f"{passes:,}", f"{whole:,.1f}", "1", memory]]
    for precision, found in results["ratios"].items():
        rows += _rows(precision, found, results)
    # Results of before these were measured are shown as they are.
    for asked, found in results.get("all_in_ratios", {}).items():
        rows += _all_in_rows(asked, found, results)
    lines = [
        f"{results['images']:,} images, {results['epochs']} epochs",
        table(["way", "backbone passes", "seconds", "times faster", "peak MiB"], rows),
        *(sooner_lines(results["sooner"]) if "sooner" in results else []),
        *(_agreement_line(name, entry) for name, entry in results["agreement"].items()),
    ]
    return "\n".join(lines)


def _rows(precision: str, found: dict[str, Any], results: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a precision: cold, and warm where its cache holds all images."""
    runs = results["cached"][precision]
    fits = max(entry["peak_mib"] for entry in runs["fit_adam"])
    sampled = found["cold_extrapolated"]
    how = f", extrapolated from {found['cold_images']} images" if sampled else ""
    name = f"cached, {precision}"
    cold = [
        f"{name}, cold: extract and fit_head{how}",
        f"{results['images']:,}",
        f"{found['cold_seconds']:,.1f}",
        f"{found['cold']:,.1f}",
        f"{max(fits, runs['cold']['peak_mib']):,.0f}",
    ]
    if sampled:
        return [cold]
    again = max(fits, *(entry["peak_mib"] for entry in runs["again"]))
    checked = [
        f"{name}, checked: extract with nothing to do and fit_head",
        "0",
        f"{found['checked_seconds']:,.2f}",
        f"{found['checked']:,.0f}",
        f"{again:,.0f}",
    ]
    warm = [
        f"{name}, warm: fit_head",
        "0",
        f"{found['warm_seconds']:,.2f}",
        f"{found['warm']:,.0f}",
        f"{fits:,.0f}",
    ]
    return [cold, checked, warm]


def _all_in_rows(asked: str, found: dict[str, Any], results: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a first run with nothing there but the exported model."""
    runs, precision = results["all_in"][asked], found["precision"]
    what = f"{asked}: {precision} made and compared" if asked == "auto" else "fast: made"
    if precision == "fp32":
        what = f"{asked}: fp32 by its reasons"
    passes = f"{results['images']:,}"

    def row(name: str, seconds: str, times: str, runs: Iterable[dict[str, Any]]) -> list[str]:
        peak = max(entry["peak_mib"] for entry in runs)
        return [name, passes, f"{found[seconds]:,.1f}", f"{found[times]:,.1f}", f"{peak:,.0f}"]

    extracted = (runs["extract"], runs["fit"])
    return [
        row(f"cached, all in ({what}): extract and fit_head", "seconds", "times_faster", extracted),
        row(
            "the same, and the backbone exported from Keras",
            "exported_seconds", "exported_times_faster", (*extracted, results["export"]),
        ),
    ]  # fmt: skip


def _agreement_line(name: str, found: dict[str, Any]) -> str:
    verdict = "agree" if found["agree"] else "DO NOT AGREE"
    features = found.get("features")
    cosine = (
        f"; of {features['images']} images the least cosine to Keras' features is "
        f"{features['least_cosine']:.6f}"
        if features
        else ""
    )
    return (
        f"{name}: test accuracies {verdict}: Keras {_accuracies(found['first'])}, "
        f"fit_head {_accuracies(found['second'])}; difference {found['mean_difference']:+.4f}, "
        f"standard error {found['standard_error']:.4f}{cosine}"
    )


def _accuracies(values: list[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)


if __name__ == "__main__":
    sys.exit(main())
