"""How soon `--until-steady` stops, and what is lost by it: cached features in many orders.

python -m benchmarks.steady CACHE

In each order half of the images is held out. The other half comes in as an extraction would bring
it, class by class in turn, and the rule is asked at the sizes that the command asks at. What is
lost is the held-out accuracy of a head on all of them less that of a head on those up to the stop.
"""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.measuring.options import benchmark_parser, finish, positive
from benchmarks.measuring.record import table
from cache.commandline.command import Console, run_command
from cache.failures import UsageFailure
from cache.space import Space
from cache.store import FeatureCache
from engine.heads.features import Features
from engine.heads.open_features import open_features
from engine.heads.rows import LoadedRows
from engine.heads.solvers import SolverOptions, solve
from engine.heads.split import folds
from engine.heads.steadiness import measure_steadiness

_POINTS = 0.5
_GROWTH = 2**0.5


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "steady",
        "Ask the rule of extract --until-steady in many orders of the images of a cache; each of "
        "its spaces in turn.",
        "CACHE",
    )
    parser.add_argument("cache", nargs="?", metavar="CACHE", help="with thousands of features")
    parser.add_argument("--orders", type=positive, default=20, metavar="N", help="default: 20")
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    if arguments.cache is None:
        raise UsageFailure("give a cache that holds thousands of features with labels")
    spaces = []
    for space in FeatureCache.open(arguments.cache).spaces():
        console.say(f"{space.title}: {arguments.orders} orders")
        spaces.append(_measured(space, 2 if arguments.quick else arguments.orders))
    results = {"points": _POINTS, "spaces": spaces}
    finish(arguments, console, "steady", results, summary(results))


def _measured(space: Space, orders: int) -> dict[str, Any]:
    features = open_features(space).labelled()
    runs = [_run(features, seed) for seed in range(orders)]
    return {"backbone": space.description["backbone"], "layer": space.description["layer"],
            "images": len(features), "runs": runs}  # fmt: skip


def _run(features: Features, seed: int) -> dict[str, Any]:
    """Return where the rule stops in one order, and what heads there and at the end do."""
    rng = np.random.default_rng(seed)
    X, y, classes = features.X, features.y, len(features.classes)
    held_out = folds(y, 2, seed) == 1
    pool, tested = _in_turn(y, np.flatnonzero(~held_out), rng), np.flatnonzero(held_out)

    def accuracy(count: int) -> float:
        chosen = pool[:count]
        rows = LoadedRows(X[chosen], y[chosen])
        solution = solve(rows, None, classes, SolverOptions(seed=seed))
        logits = X[tested] @ solution.weights + solution.biases
        return float((logits.argmax(axis=1) == y[tested]).mean())

    stop = len(pool)
    for count in _sizes(len(pool)):
        last = measure_steadiness(X[pool[:count]], y[pool[:count]], classes, seed)
        if last is not None and last.is_steady(_POINTS):
            stop = count
            break
    return {"stop": stop, "accuracy": accuracy(stop), "accuracy_of_all": accuracy(len(pool))}


def _sizes(most: int) -> Iterator[int]:
    count = 100 / _POINTS
    while count < most:
        yield round(count)
        count *= _GROWTH


def _in_turn(labels: np.ndarray, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the chosen images in an order of which each beginning has each class in proportion."""
    order = rng.permutation(chosen)
    places = np.empty(len(order))
    for label in np.unique(labels):
        members = np.flatnonzero(labels[order] == label)
        places[members] = (np.arange(len(members)) + 0.5) / max(1, len(members))
    ordered: np.ndarray = order[np.argsort(places, kind="stable")]
    return ordered


def summary(results: dict[str, Any]) -> str:
    """Return the table that is printed."""
    rows = []
    for space in results["spaces"]:
        stops = np.array([run["stop"] for run in space["runs"]])
        losses = 100 * np.array([run["accuracy_of_all"] - run["accuracy"] for run in space["runs"]])
        rows.append(
            [
                f"{space['backbone']} at {space['layer']}",
                f"{len(stops)}",
                f"{stops.mean():.0f} of {space['images'] // 2}",
                f"{losses.mean():+.2f}",
                f"{(losses > 1).sum()}",
                f"{losses.max():+.2f}",
            ]
        )
    head = ["", "orders", "images at the stop", "points lost, mean", "over 1 point", "most"]
    return table(head, rows)


if __name__ == "__main__":
    sys.exit(main())
