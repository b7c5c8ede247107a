"""Every network that goes by a name: how many images a second, in fp32 and in int8.

python -m benchmarks.speeds PetImages.zip
"""

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.applications import BY_SIZE, exported, megabytes, model_folder, with_earlier
from benchmarks.inputs.photographs import draw
from benchmarks.measuring.legs import add_pause, open_legs
from benchmarks.measuring.options import (
    add_source,
    add_work,
    benchmark_parser,
    finish,
    names,
    work_folder,
)
from benchmarks.measuring.record import table
from benchmarks.product import pixels_of
from cache.commandline.command import Console, run_command
from cache.failures import Failure, Interrupted
from engine.backbones.architectures import ARCHITECTURES
from engine.backbones.backbone import Backbone
from engine.backbones.model import ModelFile
from engine.graphs.session import BATCH_SIZE, available_cores
from engine.precision.cached_model import made_description
from engine.precision.handover import CalibrationPixels, Quantized, make_model
from engine.precision.verdict import objections_to

# Megabytes of an fp32 model up to which int8 is measured too.
_INT8_UP_TO = 100

_CALIBRATION, _HELD_OUT = 16, 32

# Seconds of a batch above which images are run one at a time.
_LONG = 0.5


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "speeds",
        "Time each named network with random weights, as Onceover runs it, and its int8 form "
        "where it is small: its gain, its cosine, and what auto says of it. Networks that "
        "benchmarks.applications has not exported are left out. Stopped, the same command goes on.",
        "PetImages.zip --minutes 8",
    )
    add_source(parser)
    parser.add_argument(
        "--only", type=names, default=BY_SIZE, metavar="A,B", help="some of them (default: all)"
    )
    parser.add_argument("--seconds", type=float, default=3.0, metavar="S", help="a network; 3")
    parser.add_argument(
        "--make", action="store_true", help="make int8 models and measure no speeds but their gain"
    )
    add_pause(parser)
    add_work(parser)
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    if arguments.quick:
        arguments.only, arguments.seconds = ("mobilenet_v3_small",), 0.1
    with work_folder(arguments) as work:
        if arguments.quick:
            exported(work, "mobilenet_v3_small")
        _measure(arguments, work, console)


def _measure(arguments: argparse.Namespace, work: Path, console: Console) -> None:
    source = arguments.source or str(draw(work / "drawn", 128))
    there = [n for n in arguments.only if (model_folder(work, n) / "model.json").exists()]
    if arguments.make:
        for name in there:
            _int8(name, work, source, make=True)
            console.say(f"{name} is made int8")
        console.result(there, f"made int8: {', '.join(there)}")
        return
    legs = open_legs(work / "speeds-legs.json", arguments, console)
    rows: dict[str, Any] = {}
    try:
        for name in there:
            rows[name] = legs.leg(
                name, partial(_row, name, work, source, arguments.seconds, arguments.quick)
            )
    except Interrupted as interrupted:  # what there is counts
        console.warn(str(interrupted))
    results = {"networks": with_earlier(arguments, "speeds", rows)}
    finish(arguments, console, "speeds", results, summary(results))


def _row(name: str, work: Path, source: str, seconds: float, quick: bool) -> dict[str, Any]:
    model = exported(work, name)
    row: dict[str, Any] = {"fp32": _rate(model, seconds), "megabytes": megabytes(model)}
    if made := _int8(name, work, source, make=quick):
        int8, quantized = made
        row |= {
            "int8": _rate(int8, seconds),
            "int8_megabytes": megabytes(int8),
            "parity": quantized.payload()["parity"],
            "objections": objections_to(quantized.parity),
        }
    return row


def _int8(name: str, work: Path, source: str, *, make: bool) -> tuple[ModelFile, Quantized] | None:
    """Return the int8 form of a small network, and how it compares; None where there is none.

    make: whether to make it where that was never done.
    """

    model = exported(work, name)
    folder = model_folder(work, name) / "int8"
    record = folder / "made.json"
    if not record.exists():
        if not make or megabytes(model) > _INT8_UP_TO:
            return None
        size = ARCHITECTURES[name].size
        pixels = pixels_of(source, _CALIBRATION + _HELD_OUT, size)
        calibration, held_out = pixels[:_CALIBRATION], pixels[_CALIBRATION:]
        images = CalibrationPixels(calibration, held_out, np.full(len(held_out), -1))
        folder.mkdir(exist_ok=True)
        try:
            made = make_model(model.path, images, folder / "model.onnx", "int8")
        except Failure as failure:
            sys.stderr.write(f"{name}: {failure}\n")
            return None
        record.write_text(json.dumps(made.payload()), encoding="ascii")
    quantized = Quantized.of_payload(json.loads(record.read_text(encoding="ascii")))
    description = made_description(model.description, quantized, quantized.digests)
    return ModelFile(folder / "model.onnx", quantized.digests, description), quantized


def _rate(model: ModelFile, seconds: float) -> float:
    """Return images a second on all cores, a run on each, as an extraction does."""
    backbone = Backbone(model)
    size = (model.description.height, model.description.width, 3)
    cores = available_cores()
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH_SIZE, *size), np.uint8)
    with ThreadPoolExecutor(cores) as pool:

        def run(images: int) -> float:
            started = time.perf_counter()
            list(pool.map(backbone.features, [pixels[:images]] * cores))
            return time.perf_counter() - started

        run(1)
        batch = BATCH_SIZE if BATCH_SIZE * run(1) < _LONG else 1
        done, spent = 0, 0.0
        while not done or spent < seconds:
            spent += run(batch)
            done += batch * cores
    return round(done / spent, 2)


def summary(results: dict[str, Any]) -> str:
    """Return the results as a Markdown table."""
    rows = []
    for name, row in results["networks"].items():
        rates = [row.get(precision) for precision in ("fp32", "int8")]
        gain, cosine, taken = "", "", ""
        if parity := row.get("parity"):
            gain = f"{rates[1] / rates[0] if all(rates) else parity['gain']:.2f}"
            cosine = f"{parity['cosine_mean']:.4f}"
            taken = "fp32" if row["objections"] else "int8"
        shown = ["" if rate is None else f"{rate:.1f}" for rate in rates]
        rows.append([name, *shown, gain, cosine, taken])
    return table(["network", "fp32, images/s", "int8", "gain", "cosine", "auto takes"], rows)


if __name__ == "__main__":
    sys.exit(main())
