"""L2-regularised softmax regression by L-BFGS, along a path of strengths.

For standardised features Z (N, D), minimised over weights W (D, C) and biases b (C,):

    mean categorical cross-entropy of softmax(Z W + b)  +  l2 / 2 * sum(W ** 2)

scikit-learn's `LogisticRegression(C=1 / (N * l2))` has the same optimum (for two classes, which
it writes with one column of weights, half that l2). Two passes over Z an iteration: logits are
linear in W, so the line search along a direction P needs Z P alone (docs/decisions/040).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from engine.heads.softmax import log_softmax, losses, residuals
from engine.heads.standardised import Standardised

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
class Optimum:
    """Weights for one strength.

    weights: float64 (D, C). biases: float64 (C,). loss: nats, without the penalty.
    iterations: how many it took. converged: whether the tolerance was met.
    """

    l2: float
    weights: np.ndarray
    biases: np.ndarray
    loss: float
    iterations: int
    converged: bool


def optima(
    features: Standardised,
    labels: np.ndarray,
    shares: np.ndarray,
    classes: int,
    strengths: Sequence[float],
) -> Iterator[Optimum]:
    """Yield the optimum of one strength after another, each solved from the one before.

    features: N of D floats. labels: int64 (N,), each class at least once.
    shares: float64 (N,), of each image in the loss; 1 together. strengths: l2, descending.
    The arrays of an optimum are overwritten by the next.
    """
    state = _State(features, labels, shares, classes)
    for l2 in strengths:
        yield state.solve(l2)


class _State:
    """Parameters, logits and curvature, kept from one strength to the next. One thread's."""

    def __init__(
        self, features: Standardised, labels: np.ndarray, shares: np.ndarray, classes: int
    ) -> None:
        self._features, self._labels, self._shares = features, labels, shares
        # One matrix: the weights, and the biases as its last row.
        self._theta = np.zeros((features.dimension + 1, classes))
        self._theta[-1] = np.log(np.bincount(labels, shares, minlength=classes))
        self._logits = np.tile(self._theta[-1], (len(labels), 1))
        self._logs = log_softmax(self._logits)
        self._gradient = self._loss_gradient()
        # Changes of the loss' gradient alone: that of the penalty is l2 times the step, so the
        # curvature that one strength has learnt serves the next exactly.
        self._pairs: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=_PAIRS)

    def solve(self, l2: float) -> Optimum:
        """Go on from the present parameters to the optimum of a strength."""
        converged = False
        iterations = 0
        while iterations < _ITERATIONS:
            gradient = self._gradient + l2 * _weights_only(self._theta)
            direction = self._direction(gradient, l2)
            promise = -0.5 * float(np.vdot(gradient, direction))
            if promise <= _TOLERANCE and self._pairs:
                converged = True
                break
            step = self._line_search(direction, l2)
            if not step:  # at the limit of the arithmetic
                break
            iterations += 1
            previous, self._gradient = self._gradient, self._loss_gradient()
            self._pairs.append((np.float32(step) * direction, self._gradient - previous))
        weights, biases = self._theta[:-1], self._theta[-1]
        return Optimum(l2, weights, biases, self._loss(self._logs), iterations, converged)

    def _times(self, direction: np.ndarray) -> np.ndarray:
        """Return the change of the logits, float64 (N, C), along a direction (D + 1, C).

        The classes' columns sum to zero: the last one need not be multiplied.
        """
        first = self._features.times(direction[:-1, :-1])
        return np.asarray(np.column_stack([first, -first.sum(axis=1)]) + direction[-1])

    def _loss(self, logs: np.ndarray) -> float:
        return float(np.vdot(self._shares, losses(logs, self._labels)))

    def _loss_gradient(self) -> np.ndarray:
        """Return the gradient of the mean loss, without the penalty: float32 (D + 1, C)."""
        slopes = residuals(self._logs, self._labels, self._shares)
        first = self._features.transposed_times(slopes[:, :-1].astype(np.float32))
        weights = np.column_stack([first, -first.sum(axis=1)])
        return np.vstack([weights, slopes.sum(axis=0)]).astype(np.float32)

    def _direction(self, gradient: np.ndarray, l2: float) -> np.ndarray:
        """Return minus the inverse Hessian's estimate times a gradient: float32 (D + 1, C).

        The two loops of Nocedal & Wright, algorithm 7.4.
        """
        direction = -gradient.astype(np.float32)
        pairs = []
        for step, change in self._pairs:
            penalised = change + np.float32(l2) * _weights_only(step)
            curvature = float(np.vdot(step, penalised))
            if curvature > 0:
                pairs.append((step, penalised, curvature))
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
        # Rounding that scales with the steps before, not with this one, has gathered here; `_times`
        # goes by the sum, and the penalty's slope would otherwise be that of another direction.
        direction[:, -1] = -direction[:, :-1].sum(axis=1)
        return direction

    def _line_search(self, direction: np.ndarray, l2: float) -> float:
        """Go along a direction to about its least objective; return the step, 0 if there is none.

        Newton's method on the convex function of the step, kept inside a bracket.
        """
        change = self._times(direction)
        weights, along = self._theta[:-1], direction[:-1].astype(np.float64)
        # The penalty along the direction is tilt * step + bend / 2 * step ** 2 above its start.
        tilt, bend = l2 * float(np.vdot(weights, along)), l2 * float(np.vdot(along, along))
        low, high, step = 0.0, np.inf, 0.0
        start, (slope, curvature) = self._loss(self._logs), self._slope(self._logs, change)
        flat = _SLOPE * -(slope + tilt)
        if flat <= 0:
            return 0.0
        for _ in range(_TRIALS):
            trial = step - (slope + tilt + bend * step) / (curvature + bend)
            if not low < trial < high:
                trial = 2 * low + 1 if np.isinf(high) else (low + high) / 2
            step = trial
            logits = self._logits + step * change
            logs = log_softmax(logits)
            slope, curvature = self._slope(logs, change)
            total = slope + tilt + bend * step
            low, high = (step, high) if total < 0 else (low, step)
            gained = start - self._loss(logs) - tilt * step - bend / 2 * step**2
            if abs(total) <= flat and gained > 0:
                self._theta += step * direction.astype(np.float64)
                self._logits, self._logs = logits, logs
                return step
        return 0.0

    def _slope(self, logs: np.ndarray, change: np.ndarray) -> tuple[float, float]:
        """Return the first two derivatives of the mean loss by the step."""
        probabilities = np.exp(logs)
        products = probabilities * change
        expected = products.sum(axis=1)
        actual = change[np.arange(len(change)), self._labels]
        spread = np.einsum("ij,ij->i", products, change) - expected**2
        # Above 0, so that a step divides by it where rounding has eaten it up.
        curvature = max(float(np.vdot(self._shares, spread)), float(np.finfo(float).tiny))
        return float(np.vdot(self._shares, expected - actual)), curvature


def _weights_only(parameters: np.ndarray) -> np.ndarray:
    """Return a copy of parameters (D + 1, C) with the biases, which bear no penalty, at zero."""
    copy = parameters.astype(np.float32)
    copy[-1] = 0
    return copy
