"""Whether more images would change what a head can do.

The images at hand are divided into folds. Each image is asked about by two heads that did not see
it: one trained on all images of the other folds, one on half of them. The difference of their
answers to the same images is what the last doubling has gained; the next one gains less, as
learning curves flatten. The rule (`Steadiness.is_steady`) is on that paired difference, in
accuracy and in log loss (docs/decisions/080).
"""

from dataclasses import dataclass

import numpy as np

from engine.heads.figures import wilson_interval
from engine.heads.rows import LoadedRows
from engine.heads.softmax import log_softmax, losses
from engine.heads.solution import Solution
from engine.heads.solvers import SolverOptions, solve, solve_again
from engine.heads.split import folds

FOLDS = 5

# Fewer images a class say nothing of what more would bring.
LEAST_OF_A_CLASS = 10

# Nats of log loss that are as much as a point (0.01) of accuracy.
_NATS_A_POINT = 0.02


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

    def is_steady(self, points: float) -> bool:
        """Return whether twice the images would not gain `points` (hundredths) of accuracy."""
        return 100 * self.gain <= points and self.loss_gain <= points * _NATS_A_POINT


def measure_steadiness(
    features: np.ndarray, labels: np.ndarray, classes: int, seed: int = 0
) -> Steadiness | None:
    """Measure what the images at hand teach; None where a class has too few.

    features: float32 (N, D). labels: int64 (N,), 0 to classes - 1.
    """
    if np.bincount(labels, minlength=classes).min() < LEAST_OF_A_CLASS:
        return None
    options = SolverOptions(seed=seed)
    fold_of = folds(labels, FOLDS, seed)
    halves = _halves(labels, seed)
    chosen: Solution | None = None
    right = np.zeros((2, len(labels)), bool)
    nats = np.zeros((2, len(labels)))
    for fold in range(FOLDS):
        held_out = fold_of == fold
        for which, rows in enumerate((~held_out, ~held_out & halves)):
            train = LoadedRows(features[rows], labels[rows])
            if chosen is None:
                chosen = solve(train, None, classes, options)
                solution = chosen
            else:
                solution = solve_again(chosen, train, classes, options)
            logs = log_softmax(features[held_out] @ solution.weights + solution.biases)
            right[which, held_out] = logs.argmax(axis=1) == labels[held_out]
            nats[which, held_out] = losses(logs, labels[held_out])
    accuracy = float(right[0].mean())
    return Steadiness(
        len(labels),
        accuracy,
        wilson_interval(accuracy, len(labels)),
        float(nats[0].mean()),
        accuracy - float(right[1].mean()),
        float(nats[1].mean() - nats[0].mean()),
    )


def _halves(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return one half of the images, class by class: bool (N,)."""
    half = np.zeros(len(labels), bool)
    rng = np.random.default_rng([seed, 1])
    for label in np.unique(labels):
        places = rng.permutation(np.flatnonzero(labels == label))
        half[places[: (len(places) + 1) // 2]] = True
    return half
