"""Features in, a head's weights out: standardise, solve, choose the L2 strength, fold back."""

from dataclasses import dataclass

import numpy as np

from cache.failures import Failure
from engine.heads.lbfgs import Solution, solve_path
from engine.heads.rows import LoadedRows
from engine.heads.softmax import log_softmax, losses

# From a head that hardly looks at the features to one that follows each image, two a decade.
STRENGTHS = tuple(10.0 ** (power / 2) for power in range(6, -11, -1))

# Strengths in a row without a better validation loss after which the path ends: the loss over
# the logarithm of the strength is a valley, and solving gets slower down the far slope.
_PATIENCE = 2

# A feature that varies less than this, relative to its size, is constant but for rounding.
_CONSTANT = 1e-6

# Rows whose squares are added in float32 before they go into a float64 sum.
_SUMMED = 256


@dataclass(frozen=True)
class Strength:
    """A point on the path. Losses in nats, without the penalty; l2 as in `engine.heads.lbfgs`."""

    l2: float
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    iterations: int
    converged: bool


@dataclass(frozen=True)
class Regularised:
    """The chosen head: weights float32 (D, C) and biases float32 (C,) for features as they are.

    l2: the strength with the least validation loss, the stronger one of equals.
    path: every strength that was tried, from strong to weak.
    """

    weights: np.ndarray
    biases: np.ndarray
    l2: float
    path: tuple[Strength, ...]


def fit_regularised(train: LoadedRows, validation: LoadedRows, classes: int) -> Regularised:
    """Fit softmax regressions of falling L2 strength until validation says that it is enough.

    Deterministic: no random numbers. Needs a copy of the features beside them.

    Raises:
        Failure: the features are too large for float32 arithmetic.
    """
    centre, scale = _standardisation(train.features)
    standardised, held_out = ((rows.features - centre) * scale for rows in (train, validation))
    path: list[Strength] = []
    best: tuple[np.ndarray, np.ndarray] | None = None

    def judge(solution: Solution) -> bool:
        nonlocal best
        logs = log_softmax(held_out @ solution.weights.astype(np.float32) + solution.biases)
        loss = float(losses(logs, validation.labels).mean())
        if all(loss < earlier.validation_loss for earlier in path):
            best = solution.weights.copy(), solution.biases.copy()
        accuracy = float((logs.argmax(axis=1) == validation.labels).mean())
        penalty = solution.l2 / 2 * float(np.vdot(solution.weights, solution.weights))
        path.append(
            Strength(
                solution.l2,
                solution.objective - penalty,
                loss,
                accuracy,
                solution.iterations,
                solution.converged,
            )
        )
        return _chosen(path) >= len(path) - _PATIENCE

    solve_path(standardised, train.labels, classes, STRENGTHS, judge)
    assert best is not None
    # softmax(((x - centre) * scale) W + b) = softmax(x (scale W) + b - centre (scale W))
    weights = scale[:, None] * best[0]
    biases = best[1] - centre @ weights
    return Regularised(
        weights.astype(np.float32),
        (biases - biases.mean()).astype(np.float32),
        path[_chosen(path)].l2,
        tuple(path),
    )


def _chosen(path: list[Strength]) -> int:
    return min(range(len(path)), key=lambda number: path[number].validation_loss)


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
