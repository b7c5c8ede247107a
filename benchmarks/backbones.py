"""Runtimes side by side: images a second and memory, and how far that is from the machine's limit.

python -m benchmarks.backbones
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.inputs.photographs import draw
from benchmarks.measuring.legs import add_pause, open_legs
from benchmarks.measuring.limit import flops_per_image, measured_peak
from benchmarks.measuring.options import (
    add_work,
    benchmark_parser,
    finish,
    names,
    numbers,
    work_folder,
)
from benchmarks.measuring.process import python, run
from benchmarks.measuring.record import table
from benchmarks.product import export_made, make_quick
from cache.commandline.command import Console, run_command
from cache.failures import Failure
from engine.backbones.model import write_description
from engine.backbones.options import add_backbone_options, request_from
from engine.backbones.request import BackboneRequest
from engine.backbones.store import exported_model

# Each row of the table: its name, the runtime, the precision of the model that it is given.
_ROWS = (
    ("Keras predict, fp32", "keras", "fp32"),
    ("ONNX Runtime, fp32", "onnxruntime", "fp32"),
    ("Onceover, fp32", "engine", "fp32"),
    ("OpenVINO, fp32", "openvino-f32", "fp32"),
    ("OpenVINO, bf16", "openvino-bf16", "fp32"),
    ("PyTorch, fp32", "torch", "fp32"),
    ("ONNX Runtime, int8", "onnxruntime", "int8"),
    ("Onceover, int8", "engine", "int8"),
    ("OpenVINO, int8", "openvino-f32", "int8"),
    ("Onceover, fast", "engine", "fast"),
)

# An int8 dot product instruction takes four times as many operands as a float32 one.
_INT8_FACTOR = 4


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "backbones",
        "Time one backbone in Keras, ONNX Runtime, OpenVINO and PyTorch, as far as installed, "
        "beside the matrix products of this machine. Stopped, the same command goes on.",
        "--weights random:0",
    )
    add_backbone_options(parser)
    parser.add_argument(
        "--batches", type=numbers, default=(1, 4, 16, 64), metavar="N,N", help="1,4,16,64"
    )
    parser.add_argument("--precisions", type=names, default=("fp32", "int8", "fast"), metavar="P,P")
    parser.add_argument(
        "--calibrate", metavar="SOURCE", help="images for int8 (default: drawn pictures)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="a row, about; 5")
    parser.add_argument(
        "--python",
        metavar="FILE",
        help="another Python, with OpenVINO and PyTorch, for their rows (default: this one)",
    )
    add_pause(parser)
    add_work(parser)
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    with work_folder(arguments) as work:
        if arguments.quick:
            arguments.source = None
            make_quick(arguments, work)
            del arguments.source
            arguments.batches, arguments.seconds = (4,), 0.1
        _measure(arguments, work, console)


def _measure(arguments: argparse.Namespace, work: Path, console: Console) -> None:
    state = work / "backbones-legs.json"
    legs = open_legs(state, arguments, console)
    request = request_from(arguments)
    models = _models(arguments, request, work, console)
    rows: dict[str, list[dict[str, Any]]] = {}
    missing: dict[str, str] = {}
    peaks = [legs.leg("peak/0", partial(_peak, arguments))]
    for name, runtime, precision in _ROWS:
        if precision not in models:
            continue
        for batch in arguments.batches:
            measure = partial(_row, arguments, request, models[precision], runtime, batch)
            found = legs.leg(f"{name}/{batch}", measure)
            if "missing" in found:
                missing[name] = found["missing"]
                break
            rows.setdefault(name, []).append(found)
    peaks.append(legs.leg("peak/1", partial(_peak, arguments)))
    results = {
        "backbone": Path(request.backbone).name,
        "flops_per_image": flops_per_image(models["fp32"]),
        "peaks": peaks,
        "peak_gflops": max(peak["fma"] for peak in peaks),
        "rows": rows,
        "missing": missing,
    }
    results["of_limit"] = _of_limit(results)
    finish(arguments, console, "backbones", results, summary(results))
    state.unlink()


def _models(
    arguments: argparse.Namespace, request: BackboneRequest, work: Path, console: Console
) -> dict[str, Path]:
    """Return the exported model of each precision that there is, its description beside it."""
    models = {"fp32": exported_model(request).path}
    for precision in arguments.precisions:
        if precision in models:
            continue
        folder = work / f"backbones-{precision}"
        model = folder / "model.onnx"
        if not (folder / "model.json").exists():
            folder.mkdir(exist_ok=True)
            console.say(f"exporting in {precision}")
            source = arguments.calibrate or str(draw(work / "drawn", 128))
            try:
                done = export_made(source, model, request.options(), precision)
            except Failure as failure:
                console.warn(f"{precision} is left out: {failure}")
                continue
            write_description(folder / "model.json", json.loads(done.output))
        models[precision] = model
    return models


def _peak(arguments: argparse.Namespace) -> dict[str, Any]:
    return dict(measured_peak(0.2 if arguments.quick else 5.0))


def _row(
    arguments: argparse.Namespace,
    request: BackboneRequest,
    model: Path,
    runtime: str,
    batch: int,
) -> dict[str, Any]:
    options = [
        runtime, "--model", str(model), *request.options(),
        "--batch", str(batch), "--seconds", str(arguments.seconds), "--json", "--quiet",
    ]  # fmt: skip
    command = python("benchmarks.baselines.runtimes", *options)
    if arguments.python and runtime.startswith(("openvino", "torch")):
        command[0] = arguments.python
    try:
        done = run(command)
    except Failure as failure:
        if "not installed" in str(failure) or "only" in str(failure):
            return {"missing": str(failure).rsplit(": ", 1)[-1]}
        raise
    return {**done.result, "peak_mib": done.payload()["peak_mib"]}


def _of_limit(results: dict[str, Any]) -> dict[str, float]:
    """Return each row's best share of what the measured matrix product allows."""
    limit = results["peak_gflops"] * 1e9 / results["flops_per_image"]
    return {
        name: max(entry["images_per_second"] for entry in entries)
        / (limit * (1 if name.endswith(("fp32", "bf16")) else _INT8_FACTOR))
        for name, entries in results["rows"].items()
    }


def summary(results: dict[str, Any]) -> str:
    """Return the results as text with a Markdown table."""
    batches = [str(entry["batch"]) for entry in next(iter(results["rows"].values()))]
    rows = [
        [
            name,
            *(f"{entry['images_per_second']:.1f}" for entry in entries),
            f"{max(entry['peak_mib'] for entry in entries):,.0f}",
            f"{results['of_limit'][name]:.2f}",
        ]
        for name, entries in results["rows"].items()
    ]
    header = ["images/s at batch", *batches, "peak MiB", "of the limit"]
    gflop, peak = results["flops_per_image"] / 1e9, results["peak_gflops"]
    what = (
        f"{results['backbone']}: {gflop:.3f} GFLOP an image; best matrix product {peak:.0f} "
        f"GFLOP/s, so at most {peak / gflop:,.1f} images/s in fp32, {_INT8_FACTOR} times that in "
        "int8"
    )
    lines = [
        what,
        table(header, rows),
        *(f"{name}: {reason}" for name, reason in results["missing"].items()),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
