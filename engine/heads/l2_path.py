"""Features in, a head's weights out: standardise, solve, choose the L2 strength, fold back."""

import numpy as np

from engine.heads.lbfgs import optima
from engine.heads.rows import LoadedRows
from engine.heads.softmax import log_softmax, losses
from engine.heads.solution import Solution
from engine.heads.standardised import Standardised

# From a head that hardly looks at the features to one that follows each image, two a decade.
STRENGTHS = tuple(10.0 ** (power / 2) for power in range(6, -11, -1))

# Strengths in a row without a better validation loss after which the path ends: the loss over
# the logarithm of the strength is a valley, and solving gets slower down the far slope.
_PATIENCE = 2


def fit_regularised(train: LoadedRows, validation: LoadedRows, classes: int) -> Solution:
    """Fit softmax regressions of falling L2 strength until validation says that it is enough.

    Deterministic: no random numbers. No copy of the features is made. The solution's `chosen` is
    the `l2` with the least validation loss, the stronger one of equals; its history has every
    strength that was tried, from strong to weak, with losses in nats without penalty.

    Raises:
        Failure: the features are too large for float32 arithmetic.
    """
    standardised = Standardised(train.features)
    held_out = Standardised(validation.features, (standardised.centre, standardised.scale))
    history: list[dict[str, float]] = []
    best = 0
    for optimum in optima(standardised, train.labels, classes, STRENGTHS):
        logs = log_softmax(held_out.times(optimum.weights.astype(np.float32)) + optimum.biases)
        loss = float(losses(logs, validation.labels).mean())
        if not history or loss < history[best]["validation_loss"]:
            best = len(history)
            weights, biases = optimum.weights.copy(), optimum.biases.copy()
        history.append(
            {
                "l2": optimum.l2,
                "train_loss": optimum.loss,
                "validation_loss": loss,
                "validation_accuracy": float((logs.argmax(axis=1) == validation.labels).mean()),
                "iterations": optimum.iterations,
                "converged": optimum.converged,
            }
        )
        if len(history) - best > _PATIENCE:
            break
    weights, biases = standardised.unfolded(weights, biases)
    return Solution(
        weights.astype(np.float32),
        (biases - biases.mean()).astype(np.float32),
        {"l2": history[best]["l2"]},
        tuple(history),
    )
