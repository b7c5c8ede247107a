"""L2-regularised softmax regression by L-BFGS, along a path of strengths.

For standardised features Z (N, D), minimised over weights W (D, C) and biases b (C,):

    mean categorical cross-entropy of softmax(Z W + b)  +  l2 / 2 * sum(W ** 2)

scikit-learn's `LogisticRegression(C=1 / (N * l2))` has the same optimum (for two classes, which
it writes with one column of weights, half that l2). Two passes over Z an iteration: logits are
linear in W, so the line search along a direction P needs Z P alone (docs/decisions/040).
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.softmax import log_softmax, losses, residuals

# Pairs of steps and gradient changes that the curvature is estimated from (Nocedal & Wright,
# Numerical Optimization, 2nd ed., 2006, section 7.2, advise 3 to 20).
_PAIRS = 20

# Nats between the loss reached and the least one, by the quadratic model of the last iteration.
_TOLERANCE = 1e-7

_ITERATIONS = 300

# How far the line search brings the slope down, and how many trials it may take.
_SLOPE = 0.05
_TRIALS = 20


@dataclass(frozen=True)
class Solution:
    """Weights for one strength.

    weights: float64 (D, C). biases: float64 (C,). objective: nats, penalty included.
    iterations: how many it took. converged: whether the tolerance was met.
    """

    l2: float
    weights: np.ndarray
    biases: np.ndarray
    objective: float
    iterations: int
    converged: bool


def solve_path(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    strengths: Sequence[float],
    go_on: Callable[[Solution], bool],
    tolerance: float = _TOLERANCE,
) -> None:
    """Solve for one strength after another, each from the one before, while `go_on` says so.

    features: float32 (N, D), standardised. labels: int64 (N,), each class at least once.
    strengths: l2, descending. go_on: is given each solution, whose arrays the next overwrites.
    """
    state = _State(features, labels, classes)
    for l2 in strengths:
        if not go_on(state.solve(l2, tolerance)):
            return


class _State:
    """Parameters, logits and curvature, kept from one strength to the next. One thread's."""

    def __init__(self, features: np.ndarray, labels: np.ndarray, classes: int) -> None:
        self._features, self._labels = features, labels
        # One matrix: the weights, and the biases as its last row.
        self._theta = np.zeros((features.shape[1] + 1, classes))
        self._theta[-1] = np.log(np.bincount(labels, minlength=classes) / len(labels))
        self._logits = np.tile(self._theta[-1], (len(labels), 1))
        # Changes of the loss' gradient alone: that of the penalty is l2 times the step, so the
        # curvature that one strength has learnt serves the next exactly.
        self._pairs: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=_PAIRS)

    def solve(self, l2: float, tolerance: float) -> Solution:
        gradient = self._loss_gradient()
        objective = np.inf
        converged = False
        iteration = 0
        while iteration < _ITERATIONS:
            total = gradient + l2 * _weights_only(self._theta)
            direction = self._direction(total, l2)
            promise = -0.5 * float(np.vdot(total, direction))
            if promise <= tolerance and self._pairs:
                converged = True
                break
            step, objective = self._line_search(direction, l2)
            if step == 0:  # at the limit of the arithmetic
                break
            iteration += 1
            previous, gradient = gradient, self._loss_gradient()
            self._pairs.append((np.float32(step) * direction, gradient - previous))
        if not iteration:
            objective = self._objective(self._logits, l2)
        return Solution(l2, self._theta[:-1], self._theta[-1], objective, iteration, converged)

    def _times(self, direction: np.ndarray) -> np.ndarray:
        """Return the change of the logits, float64 (N, C), along a direction (D + 1, C).

        The classes' columns sum to zero: the last one need not be multiplied.
        """
        first = np.asarray(_product(self._features, direction[:-1, :-1]), np.float64)
        return np.asarray(np.column_stack([first, -first.sum(axis=1)]) + direction[-1])

    def _loss_gradient(self) -> np.ndarray:
        """Return the gradient of the mean loss, without the penalty: float32 (D + 1, C)."""
        slopes = residuals(log_softmax(self._logits), self._labels)
        first = _product(self._features.T, slopes[:, :-1].astype(np.float32))
        weights = np.column_stack([first, -first.sum(axis=1)])
        return np.vstack([weights, slopes.sum(axis=0)]).astype(np.float32)

    def _direction(self, gradient: np.ndarray, l2: float) -> np.ndarray:
        """Return minus the inverse Hessian's estimate times a gradient: float32 (D + 1, C).

        The two loops of Nocedal & Wright, algorithm 7.4.
        """
        direction = -gradient.astype(np.float32)
        pairs = []
        for step, change in self._pairs:
            whole = change + np.float32(l2) * _weights_only(step)
            curvature = float(np.vdot(step, whole))
            if curvature > 0:
                pairs.append((step, whole, curvature))
        factors = []
        for step, change, curvature in reversed(pairs):
            factor = np.float32(np.vdot(step, direction) / curvature)
            factors.append(factor)
            direction -= factor * change
        if pairs:
            _, change, curvature = pairs[-1]
            direction *= np.float32(curvature / np.vdot(change, change))
        for (step, change, curvature), factor in zip(pairs, reversed(factors), strict=True):
            direction += (factor - np.float32(np.vdot(change, direction) / curvature)) * step
        return direction

    def _line_search(self, direction: np.ndarray, l2: float) -> tuple[float, float]:
        """Go along a direction to about its least objective; return the step and the objective.

        Newton's method on the convex function of the step, kept inside a bracket. A step of 0:
        no descent could be found.
        """
        change = self._times(direction)
        weights, along = self._theta[:-1], direction[:-1].astype(np.float64)
        penalties = l2 * np.array([np.vdot(weights, along), np.vdot(along, along)])
        start = self._objective(self._logits, l2)
        low, high, step = 0.0, np.inf, 0.0
        first_slope, curvature = self._slope(self._logits, change, penalties, 0)
        if first_slope >= 0:
            return 0.0, start
        slope = first_slope
        for _ in range(_TRIALS):
            trial = step - slope / curvature
            if not low < trial < high:
                trial = 2 * low + 1 if np.isinf(high) else (low + high) / 2
            step = trial
            moved = self._logits + step * change
            slope, curvature = self._slope(moved, change, penalties, step)
            low, high = (step, high) if slope < 0 else (low, step)
            if abs(slope) > _SLOPE * -first_slope:
                continue
            objective = self._objective(moved, l2, step * penalties[0] + step**2 / 2 * penalties[1])
            if objective < start:
                self._theta += step * direction.astype(np.float64)
                self._logits = moved
                return step, objective
        return 0.0, start

    def _slope(
        self, logits: np.ndarray, change: np.ndarray, penalties: np.ndarray, step: float
    ) -> tuple[float, float]:
        """Return the first two derivatives of the objective by the step."""
        probabilities = np.exp(log_softmax(logits))
        expected = (probabilities * change).sum(axis=1)
        actual = change[np.arange(len(change)), self._labels]
        spread = (probabilities * change**2).sum(axis=1) - expected**2
        slope = (expected - actual).mean() + penalties[0] + step * penalties[1]
        return float(slope), float(max(spread.mean(), 0) + penalties[1] + np.finfo(float).tiny)

    def _objective(self, logits: np.ndarray, l2: float, added: float = 0.0) -> float:
        """Return the objective, in nats; added: penalty beyond that of the current weights."""
        weights = self._theta[:-1]
        loss = losses(log_softmax(logits), self._labels).mean()
        return float(loss + l2 / 2 * np.vdot(weights, weights) + added)


def _weights_only(parameters: np.ndarray) -> np.ndarray:
    """Return a copy of parameters (D + 1, C) with the biases, which bear no penalty, at zero."""
    copy = parameters.astype(np.float32)
    copy[-1] = 0
    return copy


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return left @ right, by the matrix-vector product where right has one column.

    OpenBLAS takes a third of the time for it.
    """
    if right.shape[1] == 1:
        right = np.ascontiguousarray(right[:, 0])
        return np.asarray(left @ right)[:, None]
    return np.asarray(left @ np.ascontiguousarray(right))
