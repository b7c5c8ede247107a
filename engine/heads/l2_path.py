"""Features in, a head's weights out: standardise, solve, choose the L2 strength, fold back."""

from collections.abc import Mapping, Sequence

import numpy as np

from engine.heads.lbfgs import Optimum, optima
from engine.heads.rows import LoadedRows
from engine.heads.softmax import class_weights, log_softmax, losses, shares_of
from engine.heads.solution import Solution
from engine.heads.standardised import Standardised

# From a head that hardly looks at the features to one that follows each image, two a decade.
STRENGTHS = tuple(10.0 ** (power / 2) for power in range(6, -11, -1))

# Strengths in a row without a better validation loss after which the path ends: the loss over
# the logarithm of the strength is a valley, and solving gets slower down the far slope.
_PATIENCE = 2


def fit_regularised(
    train: LoadedRows, validation: LoadedRows, classes: int, *, balanced: bool = False
) -> Solution:
    """Fit softmax regressions of falling L2 strength until validation says that it is enough.

    Deterministic: no random numbers. No copy of the features is made. The solution's `chosen` is
    the `l2` with the least validation loss, the stronger one of equals; its history has every
    strength that was tried, from strong to weak, with losses in nats without penalty.

    balanced: each class counts the same in all losses, whatever its images.

    Raises:
        Failure: the features are too large for float32 arithmetic.
    """
    standardised = Standardised(train.features)
    held_out = Standardised(validation.features, (standardised.centre, standardised.scale))
    weights_of = class_weights(train.labels, classes, balanced=balanced)
    held_out_shares = shares_of(validation.labels, weights_of)
    shares = shares_of(train.labels, weights_of)
    history: list[dict[str, float]] = []
    best = 0
    for optimum in optima(standardised, train.labels, shares, classes, STRENGTHS):
        logs = log_softmax(held_out.times(optimum.weights.astype(np.float32)) + optimum.biases)
        loss = float(np.vdot(held_out_shares, losses(logs, validation.labels)))
        if not history or loss < history[best]["validation_loss"]:
            best = len(history)
            weights, biases = optimum.weights.copy(), optimum.biases.copy()
        accuracy = float((logs.argmax(axis=1) == validation.labels).mean())
        history.append(
            {**_point(optimum), "validation_loss": loss, "validation_accuracy": accuracy}
        )
        if len(history) - best > _PATIENCE:
            break
    return _solution(standardised, weights, biases, history, history[best]["l2"])


def fit_at(train: LoadedRows, classes: int, l2: float, *, balanced: bool = False) -> Solution:
    """Fit a softmax regression of one L2 strength, by way of stronger ones.

    Raises:
        Failure: the features are too large for float32 arithmetic.
    """
    standardised = Standardised(train.features)
    shares = shares_of(train.labels, class_weights(train.labels, classes, balanced=balanced))
    # One a decade on the way: each is near its optimum when the next begins.
    way = [strength for strength in STRENGTHS[::2] if strength > l2 * 1.01]
    history = []
    for optimum in optima(standardised, train.labels, shares, classes, [*way, l2]):
        history.append(_point(optimum))
    return _solution(standardised, optimum.weights, optimum.biases, history, l2)


def _point(optimum: Optimum) -> dict[str, float]:
    return {
        "l2": optimum.l2,
        "train_loss": optimum.loss,
        "iterations": optimum.iterations,
        "converged": optimum.converged,
    }


def _solution(
    standardised: Standardised,
    weights: np.ndarray,
    biases: np.ndarray,
    history: Sequence[Mapping[str, float]],
    l2: float,
) -> Solution:
    weights, biases = standardised.unfolded(weights, biases)
    centred = (biases - biases.mean()).astype(np.float32)
    return Solution(weights.astype(np.float32), centred, {"l2": l2}, tuple(history))
