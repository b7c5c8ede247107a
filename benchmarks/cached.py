"""The cached way, by the product's own commands: extract, extract with nothing to do, fit_head.

python -m benchmarks.cached [SOURCE]
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import python, run
from benchmarks.options import (
    add_source,
    add_work,
    benchmark_parser,
    finish,
    names,
    positive,
)
from benchmarks.photographs import draw, repeated
from benchmarks.record import table
from cache.commandline.command import Console, run_command
from cache.failures import Failure
from engine.backbones.request import add_backbone_options, request_from

PRECISIONS = ("fp32", "int8")


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "cached",
        "Time extraction into an empty cache, extraction with nothing to do, and fit_head, each "
        "as a process of its own.",
        "PetImages.zip --weights random:0",
    )
    add_source(parser)
    add_backbone_options(parser)
    parser.add_argument(
        "--precisions", type=names, default=PRECISIONS, metavar="P,P", help="default: fp32,int8"
    )
    parser.add_argument(
        "--images",
        type=positive,
        metavar="N",
        help="bring SOURCE to N images by repeating them with distinct bytes (default: as it is)",
    )
    parser.add_argument("--repeats", type=positive, default=5, metavar="N", help="warm runs; 5")
    add_work(parser)
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    work = arguments.work / "cached"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    if arguments.quick:
        make_quick(arguments, work)
    source = prepared_source(arguments, work)
    options = request_from(arguments).options()
    results: dict[str, Any] = {}
    for precision in arguments.precisions:
        console.say(f"{precision}: extract, extract again, fit_head")
        ready = make_ready(source, work, options, precision)
        if ready is None:
            console.say(f"{precision} is not available here")
            continue
        cache, model = work / precision, options_of(precision, options, work)
        results[precision] = {
            "ready": ready,
            "cold": extract(source, cache, model),
            "again": [extract(source, cache, model) for _ in range(arguments.repeats)],
            **{
                f"fit_{solver}": [fit(cache, "--solver", solver) for _ in range(arguments.repeats)]
                for solver in ("lbfgs", "adam")
            },
        }
    shutil.rmtree(work)
    finish(arguments, console, "cached", results, summary(results))


def make_quick(arguments: argparse.Namespace, work: Path) -> None:
    """Put a small backbone and small drawn pictures in place of what was not given."""
    os.environ["ONCEOVER_MODELS"] = str(work / "models")
    if arguments.backbone in (None, "vgg16"):
        run(python("benchmarks.tiny", str(work / "tiny.keras")))
        arguments.backbone, arguments.preprocessing = str(work / "tiny.keras"), "caffe"
    arguments.source = arguments.source or str(draw(work / "drawn", 120, (48, 64)))


def prepared_source(arguments: argparse.Namespace, work: Path) -> Path:
    """Return where the images are: SOURCE or drawn ones, repeated up to `--images`."""
    source = Path(arguments.source) if arguments.source else draw(work / "drawn", 1000)
    if arguments.images is None:
        return source
    return repeated(source, arguments.images, work / f"{source.stem}-{arguments.images}.zip")


def options_of(precision: str, options: Sequence[str], work: Path) -> list[str]:
    """Return the options of an extraction: of int8 the exported model, as `make_ready` made it."""
    if precision == "int8":
        return ["--backbone", str(work / "int8.onnx"), "--precision", "int8"]
    return [*options, "--precision", precision]


def make_ready(
    source: Path, work: Path, options: Sequence[str], precision: str
) -> dict[str, Any] | None:
    """Export the backbone; return what an extraction of an image of each class takes then.

    options: those that choose the backbone. int8 is calibrated on images of the source, once;
    `export` has what that took. None if this backbone or machine has no int8.
    """
    exported: dict[str, Any] = {}
    if precision == "int8":
        command = python("engine.export", *options, "--precision", "int8")
        files = ["--calibrate", str(source), "--out", str(work / "int8.onnx")]
        try:
            exported = {"export": run([*command, *files, "--json", "--quiet"]).payload()}
        except Failure:
            return None
    # The first run takes the model into the store of models; the second finds it there.
    for _ in range(2):
        shutil.rmtree(work / "ready", ignore_errors=True)
        model = options_of(precision, options, work)
        done = extract(source, work / "ready", model, "--limit-per-class", "1")
    shutil.rmtree(work / "ready")
    return {**done, **exported}


def extract(source: Path, cache: Path, options: Sequence[str], *more: str) -> dict[str, Any]:
    """Run `python -m engine.extract`; return its timings and, as `report`, what it printed.

    The paths in the report are this machine's, so only its figures are kept.
    """
    command = python("engine.extract", str(source), "--cache", str(cache), *options, *more)
    done = run([*command, "--json", "--quiet"])
    report = {key: value for key, value in done.result.items() if key != "source"}
    report["rejected"] = len(report["rejected"])
    return {**done.payload(), "report": report}


def fit(cache: Path, *more: str, report: bool = False) -> dict[str, Any]:
    """Run `python -m engine.fit_head`; return its timings and, as `report`, what it printed.

    report: whether it shall write its HTML report too.
    """
    options = [*more, *([] if report else ["--no-report"]), "--json", "--quiet"]
    done = run(python("engine.fit_head", "--cache", str(cache), *options))
    printed = {key: value for key, value in done.result.items() if key != "out"}
    return {**done.payload(), "report": printed}


def summary(results: dict[str, Any]) -> str:
    """Return the results as text with a Markdown table."""
    rows = []
    for precision, runs in results.items():
        cold = runs["cold"]
        rate = cold["report"]["images_per_second"]
        if "export" in runs["ready"]:
            rows.append(_row(f"{precision}: export, calibrated", [runs["ready"]["export"]]))
        rows.append(_row(f"{precision}: extract, empty cache ({rate:.1f} images/s)", [cold]))
        rows.append(_row(f"{precision}: extract, nothing to do", runs["again"]))
        rows.append(_row(f"{precision}: fit_head, lbfgs", runs["fit_lbfgs"]))
        rows.append(_row(f"{precision}: fit_head, adam", runs["fit_adam"]))
    return table(["whole process", "least s", "most s", "peak MiB"], rows)


def _row(name: str, runs: Sequence[dict[str, Any]]) -> list[str]:
    seconds = [entry["seconds"] for entry in runs]
    peak = max(entry["peak_mib"] for entry in runs)
    return [name, f"{min(seconds):.2f}", f"{max(seconds):.2f}", f"{peak:,.0f}"]


if __name__ == "__main__":
    sys.exit(main())
