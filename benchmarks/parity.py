"""What other precisions cost a head: their features beside fp32's, on thousands of images.

python -m benchmarks.parity CACHE

Twofold cross-validation, five times over: each image is asked about five times by heads that were
trained on the other half, of fp32 features and of the other precision's, in the same folds. The
differences are paired by image, and their standard error is that of the mean over the images.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inputs.synthetic import make_two_precisions
from benchmarks.measuring.options import benchmark_parser, finish, positive
from benchmarks.measuring.record import table
from cache.commandline.command import Console, run_command
from cache.failures import UsageFailure
from cache.store import FeatureCache, Space
from engine.heads.open_features import open_features
from engine.heads.out_of_fold import answer_out_of_fold
from engine.heads.split import folds
from engine.precision.parity import cosine_similarities


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "parity",
        "Compare heads on features of other precisions with heads on fp32's, paired by image. "
        "The JSON is parity_BACKBONE.json.",
        "CACHE",
    )
    parser.add_argument("cache", nargs="?", metavar="CACHE", help="with both kinds of features")
    parser.add_argument("--repeats", type=positive, default=5, metavar="N", help="default: 5")
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    if arguments.quick:
        with tempfile.TemporaryDirectory() as folder:
            cache = make_two_precisions(Path(folder) / "cache")
            results = compared(cache.spaces(), arguments.repeats)
    elif arguments.cache is None:
        raise UsageFailure("give a cache that holds fp32 and other features of the same images")
    else:
        results = compared(FeatureCache.open(arguments.cache).spaces(), arguments.repeats)
    finish(arguments, console, f"parity_{results['backbone']}", results, summary(results))


def compared(spaces: list[Space], repeats: int) -> dict[str, Any]:
    """Return what each other precision has of the fp32 features with labels, and what it costs."""
    by_precision = {str(space.description["precision"]): space for space in spaces}
    fp32 = by_precision.pop("fp32", None)
    if fp32 is None or not by_precision or len(spaces) != len(by_precision) + 1:
        raise UsageFailure("give a cache of one backbone, in fp32 and in other precisions")
    held = open_features(fp32).labelled()
    there = [space.index().contains(held.digests) for space in by_precision.values()]
    held = held.subset(np.logical_and.reduce(there))
    features = {name: space.index().read(held.digests) for name, space in by_precision.items()}
    right, nats = _scores(held.X, held.y, repeats)
    others = {}
    for name, other in features.items():
        other_right, other_nats = _scores(other, held.y, repeats)
        cosines = cosine_similarities(held.X, other)
        others[name] = {
            "cosine_mean": float(cosines.mean()),
            "cosine_p1": float(np.percentile(cosines, 1)),
            "cosine_min": float(cosines.min()),
            "accuracy": float(other_right.mean()),
            "loss": float(other_nats.mean()),
            "accuracy_difference": _paired(other_right, right),
            "loss_difference": _paired(other_nats, nats),
        }
    about = fp32.description
    parts = [str(about[key]) for key in ("backbone", "layer", "pool") if key in about]
    return {
        "backbone": "_".join(part for part in parts if part != "none"),
        "images": len(held),
        "features": held.dimension,
        "repeats": repeats,
        "accuracy": float(right.mean()),
        "loss": float(nats.mean()),
        "others": others,
    }


def _scores(
    features: np.ndarray, labels: np.ndarray, repeats: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each image was right, and its mean loss in nats: float64 (N,) each."""
    every = np.ones(len(labels), bool)
    answers = [
        answer_out_of_fold(features, labels, folds(labels, 2, seed), every)
        for seed in range(repeats)
    ]
    right = np.mean([answer.right for answer in answers], axis=0)
    return right, np.mean([answer.nats for answer in answers], axis=0)


def _paired(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    difference = one - other
    error = difference.std(ddof=1) / len(difference) ** 0.5
    return {"mean": float(difference.mean()), "standard_error": float(error)}


def summary(results: dict[str, Any]) -> str:
    """Return the results as a table."""
    rows = [["fp32", "1", "1", f"{results['accuracy']:.4f}", "-", f"{results['loss']:.4f}", "-"]]
    for name, found in results["others"].items():
        points, nats = found["accuracy_difference"], found["loss_difference"]
        rows.append(
            [
                name,
                f"{found['cosine_mean']:.4f}",
                f"{found['cosine_p1']:.4f}",
                f"{found['accuracy']:.4f}",
                f"{100 * points['mean']:+.2f} ± {100 * points['standard_error']:.2f}",
                f"{found['loss']:.4f}",
                f"{nats['mean']:+.4f} ± {nats['standard_error']:.4f}",
            ]
        )
    header = [
        *("precision", "cosine to fp32", "1st percentile", "accuracy", "points beside fp32"),
        *("log loss", "nats beside fp32"),
    ]
    title = f"{results['backbone']}, {results['images']:,} images, {results['features']:,} floats"
    return f"{title}; {results['repeats']} times twofold\n" + table(header, rows)


if __name__ == "__main__":
    sys.exit(main())
