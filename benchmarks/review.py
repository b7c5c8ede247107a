"""How many labels that were flipped on purpose `review` finds: cached features, drawn many times.

python -m benchmarks.review CACHE

In each draw some images of a cache are taken, the labels of a few of them are flipped, and the
images are ranked as the command ranks them. The first space with labels is the one that is asked.
"""

import argparse
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.measuring.options import benchmark_parser, finish, positive
from benchmarks.measuring.record import table
from cache.commandline.command import Console, run_command
from cache.failures import UsageFailure
from cache.store import FeatureCache
from engine.data_review.findings import review
from engine.heads.features import Features
from engine.heads.open_features import open_features

_IMAGES, _FLIPPED = 600, 24

# Of how many of the first suspects the table says how many flipped labels are among them.
_LOOKED_AT = (24, 33, 48)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "review",
        "Flip labels of a cache's images and count how many of those the review finds first.",
        "CACHE",
    )
    parser.add_argument("cache", nargs="?", metavar="CACHE", help="with thousands of features")
    parser.add_argument("--draws", type=positive, default=20, metavar="N", help="default: 20")
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    if arguments.cache is None:
        raise UsageFailure("give a cache that holds thousands of features with labels")
    space = FeatureCache.open(arguments.cache).spaces()[0]
    features = open_features(space).labelled()
    if len(features) < _IMAGES:
        raise UsageFailure(f"{len(features)} images with labels are too few to draw {_IMAGES} of")
    draws = [_draw(features, seed) for seed in range(2 if arguments.quick else arguments.draws)]
    results = {
        "backbone": space.description["backbone"],
        "layer": space.description["layer"],
        "images": _IMAGES,
        "flipped": _FLIPPED,
        "draws": draws,
    }
    finish(arguments, console, "review", results, summary(results))


def _draw(features: Features, seed: int) -> dict[str, Any]:
    """Return where flipped labels come in the order of suspicion, from 1, and all suspects."""
    rng = np.random.default_rng(seed)
    drawn = features.subset(np.sort(rng.permutation(len(features))[:_IMAGES]))
    flipped = rng.permutation(_IMAGES)[:_FLIPPED]
    labels = drawn.y.copy()
    classes = len(features.classes)
    labels[flipped] = (labels[flipped] + rng.integers(1, classes, _FLIPPED)) % classes
    findings = review(replace(drawn, y=labels))
    places = np.empty(_IMAGES, np.int64)
    places[findings.ranked] = np.arange(1, _IMAGES + 1)
    return {"suspects": len(findings.suspects), "places": sorted(places[flipped].tolist())}


def summary(results: dict[str, Any]) -> str:
    """Return the table that is printed."""
    rows = []
    for most in _LOOKED_AT:
        counts = [sum(place <= most for place in draw["places"]) for draw in results["draws"]]
        rows.append(
            [f"{most}", f"{np.mean(counts):.1f}", f"{min(counts)}", f"{max(counts)}"],
        )
    title = (
        f"{results['backbone']}: {results['flipped']} labels flipped of {results['images']}, "
        f"{len(results['draws'])} draws"
    )
    head = ["among the first", "flipped, mean", "least", "most"]
    return f"{title}\n{table(head, rows)}"


if __name__ == "__main__":
    sys.exit(main())
