"""How the accuracy grows with the images that a head is trained on, and what twice would bring."""

from dataclasses import dataclass

import numpy as np

from engine.heads.fit import Fit
from engine.heads.head import Head
from engine.heads.rows import FeatureRows, LoadedRows
from engine.heads.scores import score
from engine.heads.solvers import load_sides, solve
from engine.heads.split import SIDES

# Sizes a decade, and how many draws of the small ones are averaged.
_STEPS = (1, 2, 5)
_DRAWS = 3
_SMALL = 200

# Points that the law of the error is taken from, the last ones.
_LAST = 4


@dataclass(frozen=True)
class Point:
    """The test accuracy and loss of heads that are trained on so many images, a mean of draws."""

    images: int
    accuracy: float
    loss: float


@dataclass(frozen=True)
class LearningCurve:
    """Points by rising images, the last of them all; twice: the accuracy that twice would bring.

    twice: by a power law of the error through the last points (Hestness et al., Deep learning
    scaling is predictable, empirically, 2017); None where the error does not fall so.
    """

    points: tuple[Point, ...]
    twice: float | None


def learning_curve(fit: Fit) -> LearningCurve:
    """Train heads on 10, 20, 50 ... of a fit's training images and score them on its test images.

    Raises:
        Failure: the features do not fit into memory.
    """
    features, parts = fit.features, fit.split
    rows = [features.rows(parts.side(side)) for side in SIDES]
    train, validation, test = load_sides(rows, fit.solver)
    sizes = [step * 10**power for power in range(1, 7) for step in _STEPS]
    least = max(10, 2 * len(features.classes))
    points = [
        _point(fit, (train, validation, test), size)
        for size in sizes
        if least <= size < len(parts.train) and isinstance(train, LoadedRows)
    ]
    points.append(Point(len(parts.train), fit.test.accuracy, fit.test.loss))
    return LearningCurve(tuple(points), _twice(points))


def _point(fit: Fit, sides: tuple[FeatureRows, FeatureRows, FeatureRows], size: int) -> Point:
    train, validation, test = sides
    assert isinstance(train, LoadedRows)
    draws = _DRAWS if size <= _SMALL else 1
    outcomes = []
    for draw in range(draws):
        rng = np.random.default_rng([fit.options.seed, size, draw])
        chosen = _stratified(train.labels, size, rng)
        some = LoadedRows(train.features[chosen], train.labels[chosen])
        solution = solve(some, validation, len(fit.features.classes), fit.solver)
        head = Head(solution.weights, solution.biases, fit.head.classes, fit.head.space)
        outcomes.append(score(head, test))
    return Point(
        size,
        float(np.mean([scores.accuracy for scores in outcomes])),
        float(np.mean([scores.loss for scores in outcomes])),
    )


def _stratified(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return `size` images, each class about in its share and once at least: int64, ascending."""
    order = rng.permutation(len(labels))
    # The rank of an image in its class, by its share: the first of each class come first of all.
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        rank[members] = (np.arange(len(members)) + rng.uniform(0, 1)) / len(members)
        rank[members[0]] = -1
    return np.sort(np.argsort(rank, kind="stable")[:size])


def _twice(points: list[Point]) -> float | None:
    last = [point for point in points if point.accuracy < 1][-_LAST:]
    if len(last) < _LAST or last[-1] is not points[-1]:
        return None
    images = np.log([point.images for point in last])
    slope = float(np.polyfit(images, np.log([1 - point.accuracy for point in last]), 1)[0])
    if slope >= 0:
        return None
    return float(1 - (1 - last[-1].accuracy) * 2.0**slope)
