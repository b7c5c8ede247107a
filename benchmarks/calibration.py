"""Ways to quantise one backbone: ranges, bias correction, layers left in float.

python -m benchmarks.calibration SOURCE --backbone mobilenet_v2 --weights FILE

Cosines are of images that were not calibrated on. Speeds are those of a run on each core at once,
the variants interleaved over the rounds. What search for ranges, equalisation and the layers that
are most sensitive are worth is settled: docs/precision.md keeps what was measured of them.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.inputs.photographs import draw
from benchmarks.inputs.synthetic import make_tiny_job
from benchmarks.measuring.options import add_source, benchmark_parser, finish, positive
from benchmarks.measuring.record import table
from benchmarks.product import pixels_of
from cache.commandline.command import Console, run_command
from engine.backbones.options import add_backbone_options, request_from
from engine.backbones.preprocessing import Preprocessing, preprocessing_named
from engine.backbones.saturation import FULL_LEVELS, REDUCED_LEVELS
from engine.backbones.store import exported_model
from engine.graphs.session import run_over, session
from engine.precision.parity import cosine_similarities, relative_error
from engine.quantization.network import Activations, float_network
from engine.quantization.quantize import IN_FLOAT, integer_form, over_more_images
from engine.quantization.ranges import calibrate
from engine.quantization.rounding import round_layers


@dataclass(frozen=True)
class Variant:
    """A way to quantise. What differs from the first is what its name says."""

    name: str
    folded: bool = True
    corrected: bool = True
    keep: str = ""
    levels: int = FULL_LEVELS
    in_float: bool = False  # ranges of all images in fp32


VARIANTS = (
    Variant("as shipped: MinMax, pixels folded, biases corrected"),
    Variant("as shipped, all ranges in fp32", in_float=True),
    Variant("MinMax alone", folded=False, corrected=False),
    Variant("pixels folded", corrected=False),
    Variant("biases corrected", folded=False),
    Variant("first three and last convolution float", keep="ends"),
    Variant("depthwise convolutions float", keep="depthwise"),
    Variant("as shipped, 7-bit weights", levels=REDUCED_LEVELS),
)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "calibration",
        "Compare ways to quantise a backbone. The JSON is calibration_BACKBONE.json.",
        "PetImages.zip --backbone mobilenet_v2 --weights FILE",
    )
    add_source(parser)
    add_backbone_options(parser)
    parser.add_argument("--calibrate-on", type=positive, default=32, metavar="N", help="images; 32")
    parser.add_argument("--compare-on", type=positive, default=300, metavar="N", help="others; 300")
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help="of speeds; 3")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="a speed; 2")
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if arguments.quick:
            make_tiny_job(arguments, Path(folder))
            arguments.rounds, arguments.seconds = 1, 0.1
            arguments.calibrate_on, arguments.compare_on = 16, 40
        arguments.source = arguments.source or str(draw(Path(folder) / "drawn", 400))
        _compare(arguments, console)


def _compare(arguments: argparse.Namespace, console: Console) -> None:
    request = request_from(arguments)
    exported = exported_model(request)
    size = (exported.description.height, exported.description.width)
    pixels = pixels_of(arguments.source, arguments.calibrate_on + arguments.compare_on, size)
    calibration, others = np.split(pixels, [arguments.calibrate_on])
    preprocessing = preprocessing_named(exported.description.preprocessing)
    fp32 = session(exported.path)
    expected = features(fp32, others)
    runners, results = [fp32], []
    for variant in variants_for(exported.path):
        console.say(variant.name)
        int8 = quantized(exported.path, preprocessing, calibration, variant)
        runners.append(session(int8.SerializeToString()))
        results.append(
            {
                "name": variant.name,
                **_closeness(expected, features(runners[-1], others)),
            }
        )
    speeds: list[list[float]] = [[] for _ in runners]
    for number in range(arguments.rounds):
        console.say(f"speeds, round {number + 1} of {arguments.rounds}")
        for runner, speed in zip(runners, speeds, strict=True):
            speed.append(_speed(runner, calibration, arguments.seconds))
    backbone = exported.description.backbone
    payload = {
        "backbone": backbone,
        "calibrated_on": len(calibration),
        "compared_on": len(others),
        "fp32_images_per_second": speeds[0],
        "variants": [
            {**result, "images_per_second": speed}
            for result, speed in zip(results, speeds[1:], strict=True)
        ],
    }
    finish(arguments, console, f"calibration_{backbone}", payload, summary(payload))


def variants_for(path: Path) -> list[Variant]:
    """Return the variants that say something of a model: some are about layers that it lacks."""
    graph = onnx.load(path).graph
    return [v for v in VARIANTS if v.keep != "depthwise" or _floats(graph, v.keep)]


def quantized(
    path: Path, preprocessing: Preprocessing, calibration: np.ndarray, variant: Variant
) -> onnx.ModelProto:
    """Return the int8 form of an exported fp32 model by a variant."""
    model = onnx.load(path)
    floats = _floats(model.graph, variant.keep)
    network = float_network(model, preprocessing, keep_float=floats, fold=variant.folded)
    few = calibration if variant.in_float else calibration[:IN_FLOAT]
    activations = calibrate(network, few)
    if not variant.corrected:
        activations = {site: _without_means(seen) for site, seen in activations.items()}
    layers = round_layers(network, activations, levels=variant.levels)
    if not variant.in_float:
        activations = over_more_images(network, activations, layers, calibration[IN_FLOAT:])
    return integer_form(network, activations, layers)


def _floats(graph: onnx.GraphProto, keep: str) -> list[str]:
    """Return the outputs of the convolutions to leave in float."""
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    if keep == "ends":
        return [node.output[0] for node in [*convolutions[:3], *convolutions[-1:]]]
    if keep == "depthwise":
        return [
            node.output[0]
            for node in convolutions
            if any(a.name == "group" and a.i > 1 for a in node.attribute)
        ]
    return []


def _without_means(found: Activations) -> Activations:
    return found if found.means is None else replace(found, means=np.zeros_like(found.means))


def features(runner: Any, pixels: np.ndarray) -> np.ndarray:
    """Return the features of pixels, float32 (N, D), from a session of a backbone."""
    return np.concatenate([found for (found,) in run_over(runner, pixels, ["features"])])


def _closeness(expected: np.ndarray, got: np.ndarray) -> dict[str, float]:
    cosines = cosine_similarities(expected, got)
    return {
        "cosine_mean": float(cosines.mean()),
        "cosine_p1": float(np.percentile(cosines, 1)),
        "cosine_min": float(cosines.min()),
        "relative_error": relative_error(expected, got),
    }


def _speed(runner: Any, pixels: np.ndarray, seconds: float) -> float:
    started, images = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        run_over(runner, pixels, ["features"])
        images += len(pixels)
    return images / (time.perf_counter() - started)


def summary(results: dict[str, Any]) -> str:
    """Return the results as a table."""
    fp32 = statistics.median(results["fp32_images_per_second"])

    def line(variant: dict[str, Any]) -> Sequence[str]:
        speed = statistics.median(variant["images_per_second"])
        return (
            variant["name"],
            f"{variant['cosine_mean']:.4f}",
            f"{variant['cosine_p1']:.4f}",
            f"{variant['cosine_min']:.4f}",
            f"{variant['relative_error']:.3f}",
            f"{speed:.0f}",
            f"{speed / fp32:.2f}",
        )

    header = [
        "",
        "cosine",
        "1st percentile",
        "least",
        "relative error",
        "images/s",
        "x fp32",
    ]
    return (
        f"{results['backbone']}: calibrated on {results['calibrated_on']} images, compared on "
        f"{results['compared_on']} others; fp32 runs {fp32:.0f} images/s\n"
        + table(header, [line(variant) for variant in results["variants"]])
    )


if __name__ == "__main__":
    sys.exit(main())
