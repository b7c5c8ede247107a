"""Features in, a head's weights out: standardise, solve, choose the L2 strength, fold back."""

import numpy as np

from cache.failures import Failure
from engine.heads.lbfgs import optima
from engine.heads.rows import LoadedRows
from engine.heads.softmax import log_softmax, losses
from engine.heads.solution import Solution

# From a head that hardly looks at the features to one that follows each image, two a decade.
STRENGTHS = tuple(10.0 ** (power / 2) for power in range(6, -11, -1))

# Strengths in a row without a better validation loss after which the path ends: the loss over
# the logarithm of the strength is a valley, and solving gets slower down the far slope.
_PATIENCE = 2

# A feature that varies less than this, relative to its size, is constant but for rounding.
_CONSTANT = 1e-6

# Rows whose squares are added in float32 before they go into a float64 sum.
_SUMMED = 256


def fit_regularised(train: LoadedRows, validation: LoadedRows, classes: int) -> Solution:
    """Fit softmax regressions of falling L2 strength until validation says that it is enough.

    Deterministic: no random numbers. Needs a copy of the features beside them. The solution's
    `chosen` is the `l2` with the least validation loss, the stronger one of equals; its history
    has every strength that was tried, from strong to weak, with losses in nats without penalty.

    Raises:
        Failure: the features are too large for float32 arithmetic.
    """
    centre, scale = _standardisation(train.features)
    standardised, held_out = ((rows.features - centre) * scale for rows in (train, validation))
    history: list[dict[str, float]] = []
    best = 0
    for optimum in optima(standardised, train.labels, classes, STRENGTHS):
        logs = log_softmax(held_out @ optimum.weights.astype(np.float32) + optimum.biases)
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
    # softmax(((x - centre) * scale) W + b) = softmax(x (scale W) + b - centre (scale W))
    weights = scale[:, None] * weights
    biases = biases - centre @ weights
    return Solution(
        weights.astype(np.float32),
        (biases - biases.mean()).astype(np.float32),
        {"l2": history[best]["l2"]},
        tuple(history),
    )


def _standardisation(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return centre and scale, float32 (D,): (x - centre) * scale has mean 0 and variance 1.

    Both to float32's accuracy, which is enough: folded back, they cancel exactly. The scale of a
    constant feature is 0.
    """
    count = len(features)
    centre = features.mean(axis=0, dtype=np.float32)
    first, second = np.zeros(len(centre)), np.zeros(len(centre))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, count, _SUMMED):
            block = features[start : start + _SUMMED] - centre
            first += block.sum(axis=0)
            second += np.einsum("ij,ij->j", block, block)
        deviation = np.sqrt(np.maximum(second / count - (first / count) ** 2, 0))
    if not np.isfinite(deviation).all():
        raise Failure(
            "features beyond 1e18 are too large to train on; the backbone's weights or "
            "preprocessing do not fit, so extract with others"
        )
    varies = deviation > _CONSTANT * np.abs(centre)
    scale = np.zeros_like(deviation)
    np.divide(1, deviation, out=scale, where=varies)
    return centre, scale.astype(np.float32)
