"""How soon each way is within half a point of end-to-end's own end, in images, epochs, seconds.

End-to-end freezes the backbone, so what its layer has learnt after each epoch is what the same
recipe learns on kept features; `benchmarks.comparison.agreement` checks that. The accuracy after
each epoch therefore needs no end-to-end run, and many splits of the images can be asked.
"""

from typing import Any

import numpy as np

from benchmarks.comparison.times import EndToEnd, two_classes
from benchmarks.inputs.orders import in_turn, steady_after
from benchmarks.measuring.record import table
from benchmarks.product import CachedFeatures
from engine.heads.adam import Recipe, adam_epochs
from engine.heads.rows import LoadedRows
from engine.heads.solvers import SolverOptions, solve
from engine.heads.split import Split, SplitOptions, split

# Hundredths of accuracy that count as none.
POINTS = 0.5

_SEEDS = range(20)


def sooner(
    times: EndToEnd, runs: dict[str, Any], held: CachedFeatures, recipe: Recipe
) -> dict[str, Any]:
    """Return accuracies, stops, seconds and ratios.

    runs: the timed `extract --until-steady` and `fit`. held: the features of all distinct images.
    """
    splits = [split(held.labels, SplitOptions(seed=seed)) for seed in _SEEDS]
    after = np.array(
        [_after_epochs(held, parts, recipe, seed) for seed, parts in enumerate(splits)]
    )
    steady = [_until_steady(held, parts, seed) for seed, parts in enumerate(splits)]
    accuracies = np.array([accuracy for _, accuracy in steady])
    by_epoch = after.mean(axis=0)
    sufficient = int((by_epoch >= by_epoch[-1] - POINTS / 100).argmax()) + 1
    ahead = 100 * (accuracies - after[:, -1])
    seconds = runs["extract"]["seconds"] + runs["fit"]["seconds"]
    report = runs["extract"]["report"]
    # Some of them were run while int8 was made, and are none of the pass's own.
    further = float(np.mean([count for count, _ in steady])) - report["steady"]["images"]
    on_average = seconds + further / report["images_per_second"]
    images = len(held.labels)
    whole, enough = (times.seconds(images, epochs) for epochs in (recipe.epochs, sufficient))
    return {
        "runs": runs,
        "images": images,
        "splits": len(splits),
        "epochs": recipe.epochs,
        "end_to_end_accuracy": by_epoch.tolist(),
        "sufficient_epoch": sufficient,
        "steady_images": [count for count, _ in steady],
        "steady_accuracy": float(accuracies.mean()),
        "points_ahead": float(ahead.mean()),
        "points_ahead_error": float(ahead.std(ddof=1) / len(ahead) ** 0.5),
        "seconds": seconds,
        "end_to_end_seconds": whole,
        "sufficient_seconds": enough,
        "times_faster": whole / seconds,
        "average_seconds": on_average,
        "average_times_faster": whole / on_average,
        "times_faster_than_sufficient": enough / seconds,
    }


def sooner_lines(found: dict[str, Any]) -> list[str]:
    """Return what was found as a line and a table."""
    ends = " ".join(f"{accuracy:.4f}" for accuracy in found["end_to_end_accuracy"])
    report = found["runs"]["extract"]["report"]
    epochs, enough = found["epochs"], found["sufficient_epoch"]
    plan = two_classes(found["images"], epochs, 128), two_classes(found["images"], enough, 128)
    made = f"{report['precision']} made and compared"
    cached = f"cached, all in ({made}): extract --until-steady and fit_head"
    rows = [
        [f"end-to-end in Keras, all {epochs} epochs", f"{plan[0].backbone_passes:,}",
         f"{found['end_to_end_seconds']:,.1f}", f"{found['times_faster']:,.1f}"],
        [f"end-to-end, to the first epoch within {POINTS} points of its end: {enough}",
         f"{plan[1].backbone_passes:,}", f"{found['sufficient_seconds']:,.1f}",
         f"{found['times_faster_than_sufficient']:,.1f}"],
        [cached, f"{report['steady']['images']:,}", f"{found['seconds']:,.1f}", "1"],
    ]  # fmt: skip
    head = ["way", "backbone passes", "seconds", "times those of --until-steady"]
    stops = np.mean(found["steady_images"])
    steady = (
        f"Until steady: {found['steady_accuracy']:.4f}, {found['points_ahead']:+.2f} points beside "
        f"the last epoch (standard error {found['points_ahead_error']:.2f}), from {stops:,.0f} "
        f"images on average over the splits, which leave the test images out; at the rate of the "
        f"timed run, which leaves none out and stopped at {report['steady']['images']:,}, that "
        f"many are {found['average_seconds']:,.1f} s, {found['average_times_faster']:,.1f} times "
        f"faster than {epochs} epochs"
    )
    return [
        f"To within {POINTS} points of end-to-end's own end, {found['images']:,} distinct images",
        table(head, rows),
        f"Test accuracy after each epoch of end-to-end, mean of {found['splits']} splits: {ends}",
        steady,
    ]


def _after_epochs(held: CachedFeatures, parts: Split, recipe: Recipe, seed: int) -> list[float]:
    """Return the test accuracy after each epoch of the tutorial's recipe."""
    train = LoadedRows(held.features[parts.train], held.labels[parts.train])
    rng = np.random.default_rng([seed, 1])
    return [
        _accuracy(held, parts.test, epoch.weights, epoch.biases)
        for epoch in adam_epochs(train, len(held.classes), recipe, rng)
    ]


def _until_steady(held: CachedFeatures, parts: Split, seed: int) -> tuple[int, float]:
    """Return where the rule stops on all but the test images, and what `fit_head` gives there.

    Of the images up to the stop `fit_head` leaves out its own test side, as a user's would.
    """
    others = np.concatenate([parts.train, parts.validation])
    order = in_turn(held.labels, others, np.random.default_rng(seed))
    stop = steady_after(held.features[order], held.labels[order], seed, POINTS)
    known = order[:stop]
    mine = split(held.labels[known], SplitOptions(seed=seed))
    train, validation = (
        LoadedRows(held.features[known[side]], held.labels[known[side]])
        for side in (mine.train, mine.validation)
    )
    head = solve(train, validation, len(held.classes), SolverOptions(seed=seed))
    return stop, _accuracy(held, parts.test, head.weights, head.biases)


def _accuracy(
    held: CachedFeatures, chosen: np.ndarray, weights: np.ndarray, biases: np.ndarray
) -> float:
    answers = (held.features[chosen] @ weights + biases).argmax(axis=1)
    return float((answers == held.labels[chosen]).mean())
