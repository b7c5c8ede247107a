"""Ways to quantise one backbone: ranges, bias correction, layers left in float.

python -m benchmarks.calibration SOURCE --backbone mobilenet_v2 --weights FILE

Cosines are of images that were not calibrated on. Speeds are those of a run on each core at once,
the variants interleaved over the rounds.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator

from benchmarks.options import add_source, benchmark_parser, finish, positive
from benchmarks.photographs import draw
from benchmarks.record import table
from benchmarks.tiny import make_tiny_job
from cache.command import Console, run_command
from engine.backbone_options import add_backbone_options
from engine.calibration import Activations, calibrate
from engine.images import Rejected, decode
from engine.model_store import exported_model, request_from
from engine.pixel_input import fold_preprocessing
from engine.preprocessing import NETWORK_INPUT, Preprocessing, preprocessing_named
from engine.quantization import integer_form
from engine.quantization_plan import Plan, plan_quantization
from engine.sampling import interleave
from engine.saturation import FULL_LEVELS, REDUCED_LEVELS
from engine.sessions import BATCH_SIZE, run_over, session
from engine.sources import open_source


@dataclass(frozen=True)
class Variant:
    """A way to quantise. What differs from the first is what its name says."""

    name: str
    folded: bool = True
    corrected: bool = True
    method: CalibrationMethod | None = None
    percentile: float | None = None
    keep: str = ""
    levels: int = FULL_LEVELS


VARIANTS = (
    Variant("as shipped: MinMax, pixels folded, biases corrected"),
    Variant("MinMax alone", folded=False, corrected=False),
    Variant("pixels folded", corrected=False),
    Variant("biases corrected", folded=False),
    Variant(
        "as shipped, percentile 99.999",
        method=CalibrationMethod.Percentile,
        percentile=99.999,
    ),
    Variant(
        "as shipped, percentile 99.99",
        method=CalibrationMethod.Percentile,
        percentile=99.99,
    ),
    Variant(
        "as shipped, percentile 99.9",
        method=CalibrationMethod.Percentile,
        percentile=99.9,
    ),
    Variant("as shipped, entropy", method=CalibrationMethod.Entropy),
    Variant("first three and last convolution float", keep="ends"),
    Variant("the same, MinMax alone", keep="ends", folded=False, corrected=False),
    Variant("depthwise convolutions float", keep="depthwise"),
    Variant("the same, MinMax alone", keep="depthwise", folded=False, corrected=False),
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
    parser.add_argument("--calibrate-on", type=positive, default=64, metavar="N", help="images; 64")
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
    exported = exported_model(request, console.say)
    size = (exported.description.height, exported.description.width)
    pixels = _pixels(arguments.source, arguments.calibrate_on + arguments.compare_on, size)
    calibration, others = np.split(pixels, [arguments.calibrate_on])
    preprocessing = preprocessing_named(exported.description.preprocessing)
    fp32 = session(exported.path)
    expected = _features(fp32, others)
    runners, results = [fp32], []
    for variant in VARIANTS:
        console.say(variant.name)
        int8 = quantized(exported.path, preprocessing, calibration, variant)
        runners.append(session(int8.SerializeToString()))
        results.append(
            {
                "name": variant.name,
                **_closeness(expected, _features(runners[-1], others)),
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


def quantized(
    path: Path, preprocessing: Preprocessing, calibration: np.ndarray, variant: Variant
) -> onnx.ModelProto:
    """Return the int8 form of an exported fp32 model by a variant."""
    model = onnx.load(path)
    folded = fold_preprocessing(model, preprocessing, NETWORK_INPUT) if variant.folded else None
    plan = plan_quantization(model.graph, _kept(model.graph, variant.keep))
    activations = calibrate(model, plan, calibration)
    if variant.method is not None:
        ranges = _ranges(model, plan, calibration, variant)
        activations = {
            site: replace(found, low=ranges[site][0], high=ranges[site][1])
            if site in ranges
            else found
            for site, found in activations.items()
        }
    if not variant.corrected:
        activations = {site: _without_means(found) for site, found in activations.items()}
    return integer_form(model, plan, activations, folded, levels=variant.levels)


def _kept(graph: onnx.GraphProto, keep: str) -> list[str]:
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


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no types
    """Pixels as ONNX Runtime's calibrators read them."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._rest: Iterator[np.ndarray] = iter(
            np.split(pixels, range(BATCH_SIZE, len(pixels), BATCH_SIZE))
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._rest, None)
        return None if batch is None else {"images": batch}


def _ranges(
    model: onnx.ModelProto, plan: Plan, calibration: np.ndarray, variant: Variant
) -> dict[str, tuple[float, float]]:
    """Return the ranges that a calibrator of ONNX Runtime finds."""
    options: dict[str, Any] = {"symmetric": False}
    if variant.percentile is not None:
        options["percentile"] = variant.percentile
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        calibrator = create_calibrator(
            path,
            None,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=variant.method,
            extra_options=options,
        )
        calibrator.collect_data(_Batches(calibration))
        found = calibrator.compute_data()
    return {
        site: (float(np.min(data.range_value[0])), float(np.max(data.range_value[1])))
        for site, data in found.items()
        if site in plan.sites
    }


def _pixels(location: str, count: int, size: tuple[int, int]) -> np.ndarray:
    found: list[np.ndarray] = []
    with open_source(location) as source:
        for sample in interleave(source.samples, 0):
            if len(found) == count:
                break
            try:
                found.append(decode(source.read(sample), size, "bilinear"))
            except Rejected:
                continue
    return np.stack(found)


def _features(runner: Any, pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([features for (features,) in run_over(runner, pixels, ["features"])])


def _closeness(expected: np.ndarray, got: np.ndarray) -> dict[str, float]:
    wide, narrow = expected.astype(np.float64), got.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1) * np.linalg.norm(narrow, axis=1)
    cosines = (wide * narrow).sum(axis=1) / lengths
    return {
        "cosine_mean": float(cosines.mean()),
        "cosine_p1": float(np.percentile(cosines, 1)),
        "cosine_min": float(cosines.min()),
        "relative_error": float(np.linalg.norm(narrow - wide) / np.linalg.norm(wide)),
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
