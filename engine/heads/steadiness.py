"""Whether more images would change what a head can do.

The images at hand are divided into folds. Three heads that did not see an image are asked about it:
one trained on all images of the other folds, and one on each half of them. The difference of their
answers to the same images is what the last doubling has gained; the next one gains less, as
learning curves flatten. The rule (`is_steady`) is on that paired difference of the log loss, which
sees what accuracy, moving by whole images, does not (docs/decisions/080).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from engine.heads.figures import wilson_interval
from engine.heads.out_of_fold import answer_out_of_fold
from engine.heads.split import folds

_FOLDS = 5

# Fewer images a class say nothing of what more would bring.
_LEAST_OF_A_CLASS = 10

# How many times as many images each look takes as the one before.
_GROWTH = 4 / 3

# Nats of log loss that go with a point (0.01) of accuracy where heads learn from more images.
_NATS_A_POINT = 0.03

# Looks whose gains are averaged: that of a few hundred images alone is uncertain by itself.
_LOOKS = 3


@dataclass(frozen=True)
class Steadiness:
    """What heads on so many images do, and what the last doubling of them has gained.

    accuracy, loss: out of fold, of heads trained on four fifths. interval: of the accuracy, 95 %.
    gain, loss_gain: accuracy won and nats lost from half the images to all, a mean over the images.
    """

    images: int
    accuracy: float
    interval: tuple[float, float]
    loss: float
    gain: float
    loss_gain: float


def is_steady(seen: Sequence[Steadiness], points: float) -> bool:
    """Return whether twice the images would not gain `points` (hundredths) of accuracy.

    seen: one look after another. The last three together decide, so fewer are not enough.
    """
    last = [look.loss_gain for look in seen[-_LOOKS:]]
    return len(last) == _LOOKS and sum(last) / _LOOKS <= points * _NATS_A_POINT


def looks(images: int, classes: int, points: float) -> Iterator[int]:
    """Yield after how many images to measure, the last time after all.

    Not before one image is less than `points`, nor before a class or a fold has too few.
    """
    count = max(100 / points, 2 * _FOLDS * _LEAST_OF_A_CLASS, _LEAST_OF_A_CLASS * classes)
    while count < images:
        yield round(count)
        count *= _GROWTH
    yield images


def measure_steadiness(
    features: np.ndarray, labels: np.ndarray, classes: int, seed: int = 0
) -> Steadiness | None:
    """Measure what the images at hand teach; None where a class has too few.

    features: float32 (N, D). labels: int64 (N,), 0 to classes - 1.
    """
    if np.bincount(labels, minlength=classes).min() < _LEAST_OF_A_CLASS:
        return None
    fold_of = folds(labels, _FOLDS, seed)
    half = _half(labels, seed)
    every, one, other = (
        answer_out_of_fold(features, labels, fold_of, among)
        for among in (np.ones(len(labels), bool), half, ~half)
    )
    accuracy = float(every.right.mean())
    return Steadiness(
        len(labels),
        accuracy,
        wilson_interval(accuracy, len(labels)),
        float(every.nats.mean()),
        accuracy - float((one.right.mean() + other.right.mean()) / 2),
        float((one.nats.mean() + other.nats.mean()) / 2 - every.nats.mean()),
    )


def _half(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return one half of the images, class by class: bool (N,)."""
    half = np.zeros(len(labels), bool)
    rng = np.random.default_rng([seed, 1])
    for label in np.unique(labels):
        places = rng.permutation(np.flatnonzero(labels == label))
        half[places[: (len(places) + 1) // 2]] = True
    return half
