"""Extraction in fp32 and int8: bare sessions, whole commands, memory, and what the heads lose.

python -m benchmarks.extraction SOURCE --backbone mobilenet_v2 --weights FILE
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.inputs.photographs import draw
from benchmarks.inputs.synthetic import make_tiny_job
from benchmarks.measuring.options import add_source, benchmark_parser, finish, positive
from benchmarks.measuring.process import Run, python, run
from benchmarks.measuring.record import table
from benchmarks.product import cached_features, head_accuracy, pixels_of
from cache.commandline.command import Console, run_command
from cache.space import Space
from cache.store import FeatureCache
from engine.backbones.options import add_backbone_options, request_from
from engine.backbones.store import exported_model
from engine.graphs.session import available_cores, run_over, session
from engine.precision.calibration_set import CALIBRATION
from engine.precision.parity import cosine_similarities

# Images in a run of the session that has all cores.
_TOGETHER = 16


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "extraction",
        "Time bare sessions and the whole extract command in fp32 and int8; compare features and "
        "heads. The JSON is extraction_BACKBONE.json.",
        "PetImages.zip --weights random:0 --limit-per-class 100",
    )
    add_source(parser)
    add_backbone_options(parser)
    parser.add_argument("--limit-per-class", type=positive, metavar="N", help="default: all")
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help="interleaved; 3")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="a session; 5")
    parser.add_argument("--seeds", type=positive, default=10, metavar="N", help="of heads; 10")
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
        ready = Path(folder) / "ready"
        console.say("the first int8 extraction, calibration and parity included")
        first = _extract(arguments.source, ready, options, "int8")
        space = FeatureCache.open(ready).space()
        models = {
            "fp32": exported_model(request).path,
            "int8": space.path / "model.onnx",
        }
        note = space.notes()["parity"]
        _empty(space)
        size = (int(space.description["height"]), int(space.description["width"]))
        pixels = pixels_of(arguments.source, CALIBRATION, size)
        rounds = []
        for number in range(arguments.rounds):
            console.say(f"round {number + 1} of {arguments.rounds}")
            rounds.append(_round(arguments, options, models, pixels, ready, Path(folder)))
        results = {
            "backbone": request.backbone if not request.is_file else Path(request.backbone).stem,
            "images": first.result["computed"] + first.result["hits"],
            "cores": available_cores(),
            "first": {**first.payload(), "quantize_seconds": note["seconds"]},
            "note": note,
            "rounds": rounds,
            "model_bytes": {name: path.stat().st_size for name, path in models.items()},
            "features": _features(Path(folder) / "fp32", Path(folder) / "int8", arguments.seeds),
        }
    results |= _ratios(results)
    name = f"extraction_{results['backbone']}"
    finish(arguments, console, name, results, summary(results))


def _extract(source: str, cache: Path, options: list[str], precision: str) -> Run:
    command = python("engine.extract", source, "--cache", str(cache), *options)
    return run([*command, "--precision", precision, "--json", "--quiet"])


def _empty(space: Space) -> None:
    """Take the features out of a space and leave its model."""
    for name in ("parts", "datasets"):
        shutil.rmtree(space.path / name, ignore_errors=True)
        (space.path / name).mkdir()
    (space.path / "known.h5").unlink(missing_ok=True)


def _round(
    arguments: argparse.Namespace,
    options: list[str],
    models: dict[str, Path],
    pixels: np.ndarray,
    ready: Path,
    folder: Path,
) -> dict[str, Any]:
    """Time both sessions, then both commands."""
    bare = {name: _bare(path, pixels, arguments.seconds) for name, path in models.items()}
    commands = {}
    for precision in models:
        cache = folder / precision
        shutil.rmtree(cache, ignore_errors=True)
        if precision == "int8":
            shutil.copytree(ready, cache)
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
    apart = _rate(partial(run_over, session(path), pixels, ["features"]), len(pixels), seconds)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    all_cores = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    batch = pixels[:_TOGETHER]
    together = _rate(lambda: all_cores.run(None, {"images": batch}), len(batch), seconds)
    return max(apart, together)


def _rate(work: Callable[[], object], images: int, seconds: float) -> float:
    work()
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds or not done:
        work()
        done += images
    return done / (time.perf_counter() - started)


def _features(fp32: Path, int8: Path, seeds: int) -> dict[str, Any]:
    """Compare the features of both caches, and heads trained on either by the same splits."""
    wide, narrow = cached_features(fp32), cached_features(int8)
    cosines = cosine_similarities(wide.features, narrow.features)
    accuracies = [[head_accuracy(held, seed) for seed in range(seeds)] for held in (wide, narrow)]
    return {
        "images": len(cosines),
        "calibrated_among_them": min(CALIBRATION, len(cosines)),
        "cosine_mean": float(cosines.mean()),
        "cosine_p1": float(np.percentile(cosines, 1)),
        "cosine_min": float(cosines.min()),
        "accuracy": {"fp32": accuracies[0], "int8": accuracies[1]},
    }


def _ratios(results: dict[str, Any]) -> dict[str, Any]:
    """Return the medians over the rounds, and how they stand to each other."""
    rounds, images = results["rounds"], results["images"]
    bare = {p: statistics.median(r["bare"][p] for r in rounds) for p in ("fp32", "int8")}
    command = {
        p: images / statistics.median(r["commands"][p]["seconds"] for r in rounds)
        for p in ("fp32", "int8")
    }
    possible = {p: _possible(bare[p], [r["commands"][p] for r in rounds], results) for p in bare}
    accuracy = results["features"]["accuracy"]
    return {
        "bare": bare,
        "command": command,
        "session_ratio": statistics.median(r["bare"]["int8"] / r["bare"]["fp32"] for r in rounds),
        "command_ratio": command["int8"] / command["fp32"],
        "command_to_bare": {p: command[p] / bare[p] for p in bare},
        "command_to_possible": {p: command[p] / possible[p] for p in bare},
        "peak_mib": {p: max(r["commands"][p]["peak_mib"] for r in rounds) for p in bare},
        "again_seconds": {
            p: statistics.median(r["commands"][p]["again"]["seconds"] for r in rounds) for p in bare
        },
        "accuracy_difference": float(np.mean(accuracy["int8"]) - np.mean(accuracy["fp32"])),
    }


def _possible(bare: float, commands: list[dict[str, Any]], results: dict[str, Any]) -> float:
    """Return images a second that a command could reach: what decoding takes is not run."""
    decoding = statistics.median(c["stages"]["decode"] + c["stages"]["read"] for c in commands)
    return float(1 / (1 / bare + decoding / results["images"] / results["cores"]))


def summary(results: dict[str, Any]) -> str:
    """Return the results as a table."""
    features, accuracy = results["features"], results["features"]["accuracy"]
    means = {name: float(np.mean(values)) for name, values in accuracy.items()}
    both, times = ("fp32", "int8"), "{:.2f} x".format

    def row(name: str, values: dict[str, float], form: str, last: str = "") -> list[str]:
        return [name, *(form.format(values[precision]) for precision in both), last]

    megabytes = {p: size / 1e6 for p, size in results["model_bytes"].items()}
    points = f"{100 * results['accuracy_difference']:+.2f} points"
    rows = [
        row("bare session, images/s", results["bare"], "{:.1f}", times(results["session_ratio"])),
        row("command, images/s", results["command"], "{:.1f}", times(results["command_ratio"])),
        row("command, of bare", results["command_to_bare"], "{:.1%}"),
        row("command, of possible", results["command_to_possible"], "{:.1%}"),
        row("nothing to do, s", results["again_seconds"], "{:.2f}"),
        row("peak memory, MiB", results["peak_mib"], "{:.0f}"),
        row("model, MB", megabytes, "{:.1f}"),
        row(f"head accuracy, {len(accuracy['fp32'])} seeds", means, "{:.4f}", points),
    ]
    cosines = (
        f"Cosine of {features['images']} images: {features['cosine_mean']:.4f} mean, "
        f"{features['cosine_p1']:.4f} first percentile, {features['cosine_min']:.4f} least."
    )
    making = (
        f"Making int8 took {results['first']['quantize_seconds']:.1f} s, the first extraction with "
        f"that and the comparison {results['first']['seconds']:.1f} s."
    )
    return "\n".join(
        (
            f"{results['backbone']}, {results['images']} images, {results['cores']} cores:",
            table(["", *both, "int8 / fp32"], rows),
            f"{cosines} {making}",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
