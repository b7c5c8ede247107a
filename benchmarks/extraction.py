"""Extraction in fp32, int8 and fast: sessions, whole commands, memory, and what the heads lose.

python -m benchmarks.extraction SOURCE --backbone mobilenet_v2 --weights FILE
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.inputs.photographs import draw
from benchmarks.inputs.synthetic import make_tiny_job
from benchmarks.measuring.options import add_source, benchmark_parser, finish, names, positive
from benchmarks.measuring.process import Run, python, run
from benchmarks.measuring.rate import rate
from benchmarks.measuring.record import table
from benchmarks.product import CALIBRATED, cached_features, emptied, head_accuracy, pixels_of
from cache.commandline.command import Console, run_command
from cache.failures import Failure
from cache.store import FeatureCache
from engine.backbones.options import add_backbone_options, request_from
from engine.backbones.store import exported_model
from engine.graphs.model_file import data_file
from engine.graphs.session import available_cores, run_over, session
from engine.precision.calibration_set import CALIBRATION
from engine.precision.parity import cosine_similarities

# Images in a run of the session that has all cores.
_TOGETHER = 16


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "extraction",
        "Time bare sessions and the whole extract command in fp32, int8 and fast; compare features "
        "and heads. The JSON is extraction_BACKBONE.json.",
        "PetImages.zip --weights random:0 --limit-per-class 100",
    )
    add_source(parser)
    add_backbone_options(parser)
    parser.add_argument("--limit-per-class", type=positive, metavar="N", help="default: all")
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help="interleaved; 3")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="a session; 5")
    parser.add_argument("--seeds", type=positive, default=10, metavar="N", help="of heads; 10")
    parser.add_argument(
        "--precisions", type=names, default=("int8", "fast"), metavar="P,P", help="beside fp32"
    )
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if arguments.quick:
            make_tiny_job(arguments, Path(folder))
            arguments.rounds, arguments.seconds, arguments.seeds = 1, 0.1, 1
        arguments.source = arguments.source or str(draw(Path(folder) / "drawn", 1000))
        request = request_from(arguments)
        options = request.options()
        if arguments.limit_per_class:
            options += ["--limit-per-class", str(arguments.limit_per_class)]
        models = {"fp32": exported_model(request).path}
        first: dict[str, dict[str, Any]] = {}
        notes = {}
        for precision in arguments.precisions:
            console.say(f"the first {precision} extraction, calibration and parity included")
            ready = Path(folder) / f"ready-{precision}"
            try:
                done = _extract(arguments.source, ready, options, precision)
            except Failure as failure:
                console.warn(f"{precision} is left out: {failure}")
                continue
            space = FeatureCache.open(ready).space()
            notes[precision] = space.notes()["parity"]
            models[precision] = space.path / "model.onnx"
            first[precision] = {**done.payload(), "making_seconds": notes[precision]["seconds"]}
            images = done.result["computed"] + done.result["hits"]
            emptied(ready)
        size = (int(space.description["height"]), int(space.description["width"]))
        pixels = pixels_of(arguments.source, CALIBRATED, size)
        rounds = []
        for number in range(arguments.rounds):
            console.say(f"round {number + 1} of {arguments.rounds}")
            rounds.append(_round(arguments, options, models, pixels, Path(folder)))
        results = {
            "backbone": request.backbone if not request.is_file else Path(request.backbone).stem,
            "images": images,
            "cores": available_cores(),
            "first": first,
            "notes": notes,
            "rounds": rounds,
            "model_bytes": {name: _size(path) for name, path in models.items()},
            "features": _features({name: Path(folder) / name for name in models}, arguments.seeds),
        }
    results |= _ratios(results)
    name = f"extraction_{results['backbone']}"
    finish(arguments, console, name, results, summary(results))


def _extract(source: str, cache: Path, options: list[str], precision: str) -> Run:
    command = python("engine.extract", source, "--cache", str(cache), *options)
    return run([*command, "--precision", precision, "--json", "--quiet"])


def _round(
    arguments: argparse.Namespace,
    options: list[str],
    models: dict[str, Path],
    pixels: np.ndarray,
    folder: Path,
) -> dict[str, Any]:
    """Time all sessions, then all commands."""
    bare = {name: _bare(path, pixels, arguments.seconds) for name, path in models.items()}
    commands = {}
    for precision in models:
        cache = folder / precision
        shutil.rmtree(cache, ignore_errors=True)
        if precision != "fp32":
            shutil.copytree(folder / f"ready-{precision}", cache)
        done = _extract(arguments.source, cache, options, precision)
        again = _extract(arguments.source, cache, options, precision)
        commands[precision] = {
            **done.payload(),
            "stages": done.result["stages"],
            "again": again.payload(),
        }
    return {"bare": bare, "commands": commands}


def _bare(path: Path, pixels: np.ndarray, seconds: float) -> float:
    """Return images a second of a loop that does nothing else, the better one of two.

    A run of a few images on each core at once, or runs of more images on all cores together.
    """
    apart = rate(partial(run_over, session(path), pixels, ["features"]), len(pixels), seconds)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    all_cores = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    batch = pixels[:_TOGETHER]
    together = rate(lambda: all_cores.run(None, {"images": batch}), len(batch), seconds)
    return max(apart, together)


def _size(model: Path) -> int:
    """Return the bytes of a model's files."""
    return sum(file.stat().st_size for file in (model, data_file(model)) if file.exists())


def _features(caches: dict[str, Path], seeds: int) -> dict[str, Any]:
    """Compare the features of caches with fp32's, and heads trained by the same splits."""
    held = {precision: cached_features(cache) for precision, cache in caches.items()}
    cosines = {
        precision: cosine_similarities(held["fp32"].features, other.features)
        for precision, other in held.items()
        if precision != "fp32"
    }
    return {
        "images": len(held["fp32"].features),
        "calibrated_among_them": min(CALIBRATION["int8"], len(held["fp32"].features)),
        "cosines": {
            precision: {
                "mean": float(values.mean()),
                "p1": float(np.percentile(values, 1)),
                "min": float(values.min()),
            }
            for precision, values in cosines.items()
        },
        "accuracy": {
            precision: [head_accuracy(each, seed) for seed in range(seeds)]
            for precision, each in held.items()
        },
    }


def _ratios(results: dict[str, Any]) -> dict[str, Any]:
    """Return the medians over the rounds."""
    rounds, images = results["rounds"], results["images"]
    bare = {p: statistics.median(r["bare"][p] for r in rounds) for p in results["model_bytes"]}
    command = {
        p: images / statistics.median(r["commands"][p]["seconds"] for r in rounds) for p in bare
    }
    possible = {p: _possible(bare[p], [r["commands"][p] for r in rounds], results) for p in bare}
    return {
        "bare": bare,
        "command": command,
        "command_to_bare": {p: command[p] / bare[p] for p in bare},
        "command_to_possible": {p: command[p] / possible[p] for p in bare},
        "peak_mib": {p: max(r["commands"][p]["peak_mib"] for r in rounds) for p in bare},
        "again_seconds": {
            p: statistics.median(r["commands"][p]["again"]["seconds"] for r in rounds) for p in bare
        },
    }


def _possible(bare: float, commands: list[dict[str, Any]], results: dict[str, Any]) -> float:
    """Return images a second that a command could reach: what decoding takes is not run."""
    decoding = statistics.median(c["stages"]["decode"] + c["stages"]["read"] for c in commands)
    return float(1 / (1 / bare + decoding / results["images"] / results["cores"]))


def summary(results: dict[str, Any]) -> str:
    """Return the results as a table."""
    features, accuracy = results["features"], results["features"]["accuracy"]
    means = {name: float(np.mean(values)) for name, values in accuracy.items()}
    precisions = list(results["bare"])

    def row(name: str, values: dict[str, float], form: str) -> list[str]:
        return [name, *(form.format(values[precision]) for precision in precisions)]

    def times_fp32(name: str, values: dict[str, float]) -> list[str]:
        return row(name, {p: value / values["fp32"] for p, value in values.items()}, "{:.2f} x")

    points = {p: 100 * (mean - means["fp32"]) for p, mean in means.items()}
    megabytes = {p: size / 1e6 for p, size in results["model_bytes"].items()}
    rows = [
        row("bare session, images/s", results["bare"], "{:.1f}"),
        times_fp32("bare session, of fp32", results["bare"]),
        row("command, images/s", results["command"], "{:.1f}"),
        times_fp32("command, of fp32", results["command"]),
        row("command, of bare", results["command_to_bare"], "{:.1%}"),
        row("command, of possible", results["command_to_possible"], "{:.1%}"),
        row("nothing to do, s", results["again_seconds"], "{:.2f}"),
        row("peak memory, MiB", results["peak_mib"], "{:.0f}"),
        row("model, MB", megabytes, "{:.1f}"),
        row(f"head accuracy, {len(accuracy['fp32'])} seeds", means, "{:.4f}"),
        row("head accuracy, points to fp32", points, "{:+.2f}"),
    ]
    lines = [f"{results['backbone']}, {results['images']} images, {results['cores']} cores:"]
    lines.append(table(["", *precisions], rows))
    for precision, cosines in features["cosines"].items():
        first = results["first"][precision]
        lines.append(
            f"{precision}: cosine of {features['images']} images {cosines['mean']:.4f} mean, "
            f"{cosines['p1']:.4f} first percentile, {cosines['min']:.4f} least. Making it took "
            f"{first['making_seconds']:.1f} s, the first extraction with that and the comparison "
            f"{first['seconds']:.1f} s, at a peak of {first['peak_mib']:,.0f} MiB."
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
