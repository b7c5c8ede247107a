"""How often `--precision auto` errs each way, by drawing its comparison again and again.

python -m benchmarks.verdict CACHE

CACHE holds fp32 and int8 features of the same images, thousands of them, whose heads say what int8
truly loses. Each draw is a comparison of 128 images as auto makes it. To see losses found out, some
int8 features are moved to where another class lies: the cosine hardly shows it, the head does.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inputs.synthetic import make_two_precisions
from benchmarks.measuring.options import benchmark_parser, finish, positive
from benchmarks.measuring.record import table
from cache.commandline.command import Console, run_command
from cache.failures import UsageFailure
from cache.store import FeatureCache
from engine.precision.calibration_set import HELD_OUT
from engine.precision.comparison import STAGES
from engine.precision.paired_heads import left_out_scores
from engine.precision.parity import Parity, cosine_similarities, measure_parity
from engine.precision.verdict import is_clear, objections_to

# Shares of the images whose int8 features are moved to where another class lies.
_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2)

# Images a second, fp32 and int8: speed is never what decides here.
_RATES = (1.0, 3.0)


@dataclass(frozen=True)
class _Images:
    """Features of the same images in the same order, float32 (N, D) twice; labels, int64 (N,)."""

    fp32: np.ndarray
    int8: np.ndarray
    labels: np.ndarray


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "verdict",
        "Draw auto's comparison of fp32 and int8 many times out of a cache that holds both. "
        "The JSON is verdict_BACKBONE.json.",
        "CACHE",
    )
    parser.add_argument("cache", nargs="?", metavar="CACHE", help="with fp32 and int8 features")
    parser.add_argument("--draws", type=positive, default=400, metavar="N", help="default: 400")
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    if arguments.quick:
        arguments.draws = 10
        with tempfile.TemporaryDirectory() as folder:
            backbone, images = _read(make_two_precisions(Path(folder) / "cache"))
    elif arguments.cache is None:
        raise UsageFailure("give a cache that holds fp32 and int8 features of the same images")
    else:
        backbone, images = _read(FeatureCache.open(arguments.cache))
    rows = []
    for share in _SHARES:
        console.say(f"{share:.0%} of the images moved")
        rows.append(_errors(images, share, arguments.draws))
    results = {"backbone": backbone, "images": len(images.labels), "rows": rows}
    finish(arguments, console, f"verdict_{backbone}", results, summary(results))


def _read(cache: FeatureCache) -> tuple[str, _Images]:
    """Return the backbone's name and the features of the labelled images that both spaces hold."""
    spaces = {str(space.description["precision"]): space for space in cache.spaces()}
    if not {"fp32", "int8"} <= spaces.keys():
        raise UsageFailure(f"{cache.path} does not hold both fp32 and int8 features")
    rows = {row.digest: row.label for row in spaces["fp32"].rows() if row.digest and row.label}
    digests = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)
    both = np.logical_and(*(spaces[p].index().contains(digests) for p in ("fp32", "int8")))
    labels = np.unique(list(rows.values()), return_inverse=True)[1][both]
    fp32, int8 = (spaces[p].index().read(digests[both]) for p in ("fp32", "int8"))
    return str(spaces["fp32"].description["backbone"]), _Images(fp32, int8, labels)


def _errors(images: _Images, share: float, draws: int) -> dict[str, Any]:
    """Return what moving a share truly loses, and what auto makes of it over many draws."""
    worse = replace(images, int8=_worse(images, share))
    cosines = cosine_similarities(worse.fp32, worse.int8)
    right = [
        (left_out_scores(features, images.labels).argmax(axis=1) == images.labels).mean()
        for features in (worse.fp32, worse.int8)
    ]
    taken, heads, compared = [], [], []
    for measured, every in _stages(worse, draws):
        taken.append(not objections_to(measured))
        compared.append(measured.images)
        # What the heads alone would say, of all 128 images and with no cosine asked.
        heads.append(not objections_to(replace(every, cosine_mean=1.0, cosine_p1=1.0)))
    return {
        "moved": share,
        "accuracy_loss": float(right[0] - right[1]),
        "cosine_mean": float(cosines.mean()),
        "cosine_p1": float(np.percentile(cosines, 1)),
        "taken": statistics.mean(taken),
        "taken_by_heads_alone": statistics.mean(heads),
        "compared": statistics.mean(compared),
    }


def _worse(images: _Images, share: float) -> np.ndarray:
    """Return int8 features of which a share is moved to where another class lies.

    By the difference of the classes' means: little beside a feature's length, all to a head.
    """
    rng = np.random.default_rng(0)
    means = np.stack(
        [images.int8[images.labels == k].mean(axis=0) for k in np.unique(images.labels)]
    )
    moved = rng.random(len(images.labels)) < share
    others = (images.labels + 1) % len(means)
    return np.where(moved[:, None], images.int8 + means[others] - means[images.labels], images.int8)


def _stages(images: _Images, draws: int) -> Iterator[tuple[Parity, Parity]]:
    """Yield what auto measures and what all images would, for many choices of images."""
    rng = np.random.default_rng(1)
    for _ in range(draws):
        chosen = rng.choice(len(images.labels), min(HELD_OUT, len(images.labels)), replace=False)
        every = _parity(images, chosen)
        stages = (_parity(images, chosen[:count]) for count in STAGES)
        yield next((parity for parity in stages if is_clear(parity)), every), every


def _parity(images: _Images, chosen: np.ndarray) -> Parity:
    fp32, int8, labels = images.fp32[chosen], images.int8[chosen], images.labels[chosen]
    return measure_parity(fp32, int8, labels, rates=_RATES)


def summary(results: dict[str, Any]) -> str:
    """Return the results as a table."""
    lines = [
        (
            f"{row['moved']:.0%}",
            f"{row['accuracy_loss'] * 100:.1f}",
            f"{row['cosine_mean']:.4f}",
            f"{row['cosine_p1']:.4f}",
            f"{row['taken']:.1%}",
            f"{row['taken_by_heads_alone']:.1%}",
            f"{row['compared']:.0f}",
        )
        for row in results["rows"]
    ]
    header = [
        *("images moved", "points lost by heads on all", "cosine", "1st percentile"),
        *("auto takes it", "its heads alone would", "images compared"),
    ]
    return f"{results['backbone']}, {results['images']} images\n" + table(header, lines)


if __name__ == "__main__":
    sys.exit(main())
