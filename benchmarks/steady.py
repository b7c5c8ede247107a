"""How soon `--until-steady` stops, and what is lost by it: cached features in many orders.

python -m benchmarks.steady CACHE...

In each order half of the images is held out. The other half comes in as an extraction would bring
it, class by class in turn, and the rule is asked at the sizes that the command asks at. What is
lost is the held-out accuracy of a head on all of them less that of a head on those up to the stop.
"""

import argparse
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from benchmarks.inputs.orders import in_turn
from benchmarks.measuring.options import benchmark_parser, finish, positive
from benchmarks.measuring.record import table
from cache.commandline.command import Console, run_command
from cache.failures import UsageFailure
from cache.space import Space
from cache.store import FeatureCache
from engine.graphs.session import available_cores
from engine.heads.features import Features
from engine.heads.open_features import open_features
from engine.heads.rows import LoadedRows
from engine.heads.solvers import SolverOptions, solve
from engine.heads.split import folds
from engine.heads.steadiness import is_steady, looks, measure_steadiness

_POINTS = 0.5

# Seeds of the orders that the rule was chosen by: no judges of it.
_TUNED = range(100, 200)

# Orders that a process takes at a time.
_AT_A_TIME = 20

# Orders that the table also shows by themselves.
_FEW = 20


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "steady",
        "Ask the rule of extract --until-steady in many orders of the images of caches; each of "
        "their spaces in turn.",
        "CACHE",
    )
    parser.add_argument("cache", nargs="*", metavar="CACHE", help="with thousands of features")
    parser.add_argument("--orders", type=positive, default=200, metavar="N", help="default: 200")
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    if not arguments.cache:
        raise UsageFailure("give caches that hold thousands of features with labels")
    orders = _orders(2 if arguments.quick else arguments.orders)
    spaces = [space for path in arguments.cache for space in FeatureCache.open(path).spaces()]
    spaces = [space for space in spaces if space.datasets()]
    console.say(f"{len(orders)} orders of {', '.join(space.title for space in spaces)}")
    parts = [orders[start : start + _AT_A_TIME] for start in range(0, len(orders), _AT_A_TIME)]
    with ProcessPoolExecutor(available_cores()) as pool:
        runs = {space.id: pool.map(partial(_runs, space), parts) for space in spaces}
        found = [_about(space, chain.from_iterable(runs[space.id])) for space in spaces]
    results = {"points": _POINTS, "spaces": found}
    finish(arguments, console, "steady", results, summary(results))


def _orders(count: int) -> list[int]:
    """Return seeds of orders, without those that the rule was chosen by."""
    return [seed for seed in range(count + len(_TUNED)) if seed not in _TUNED][:count]


def _runs(space: Space, orders: list[int]) -> list[dict[str, Any]]:
    features = open_features(space).labelled()
    return [_run(features, seed) for seed in orders]


def _about(space: Space, runs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    about = {key: space.description[key] for key in ("backbone", "layer", "precision")}
    return {**about, "images": len(open_features(space).labelled()), "runs": list(runs)}


def _run(features: Features, seed: int) -> dict[str, Any]:
    """Return what each look sees in one order, where the rule stops, and what heads there do."""
    X, y, classes = features.X, features.y, len(features.classes)
    held_out = folds(y, 2, seed) == 1
    pool = in_turn(y, np.flatnonzero(~held_out), np.random.default_rng(seed))

    def accuracy(count: int) -> float:
        chosen = pool[:count]
        rows = LoadedRows(X[chosen], y[chosen])
        solution = solve(rows, None, classes, SolverOptions(seed=seed))
        logits = X[held_out] @ solution.weights + solution.biases
        return float((logits.argmax(axis=1) == y[held_out]).mean())

    seen, table_of = [], []
    stop = len(pool)
    for count in looks(len(pool), classes, _POINTS):
        look = measure_steadiness(X[pool[:count]], y[pool[:count]], classes, seed)
        if look is None:
            continue
        seen.append(look)
        figures = (round(100 * look.gain, 3), round(look.loss_gain, 5), round(accuracy(count), 4))
        table_of.append([count, *figures])
        if count < stop == len(pool) and is_steady(seen, _POINTS):
            stop = count
    return {"seed": seed, "stop": stop, "looks": table_of}


def _points_lost(run: dict[str, Any]) -> float:
    """Return how many points a head on the images up to the stop is below one on all."""
    accuracies = {count: accuracy for count, _, _, accuracy in run["looks"]}
    return float(100 * (accuracies[max(accuracies)] - accuracies[run["stop"]]))


def summary(results: dict[str, Any]) -> str:
    """Return the table that is printed: the first 20 orders of each space, then all of them."""
    rows = []
    for space in results["spaces"]:
        for runs in (space["runs"][:_FEW], space["runs"]):
            stops = np.array([run["stop"] for run in runs])
            losses = np.array([_points_lost(run) for run in runs])
            rows.append(
                [
                    f"{space['backbone']} at {space['layer']}, {space['precision']}",
                    f"{len(stops)}",
                    f"{stops.mean():.0f} of {space['images'] // 2}",
                    f"{losses.mean():+.2f}",
                    f"{losses.max():+.2f}",
                    f"{(losses > 1).sum()} ({(losses > 1).mean():.1%})",
                ]
            )
    head = ["", "orders", "images at the stop", "points lost, mean", "most", "over 1 point"]
    return table(head, rows)


if __name__ == "__main__":
    sys.exit(main())
