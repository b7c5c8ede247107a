"""What a head says of each image when it was trained on the others: out of fold."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.heads.features import Features
from engine.heads.rows import FeatureRows, LoadedRows
from engine.heads.scores import Scores
from engine.heads.softmax import log_softmax, losses
from engine.heads.solvers import SolverOptions, load_sides, solve, solve_again
from engine.heads.split import folds


@dataclass(frozen=True)
class CrossValidation:
    """Scores of all labelled images, each by the head that did not see it.

    fold_of: int64 (N,). scores: in the order of the images.
    """

    fold_of: np.ndarray
    scores: Scores

    @property
    def accuracies(self) -> list[float]:
        """The accuracy of each fold."""
        right = self.scores.predicted == self.scores.labels
        return [float(right[fold].mean()) for fold in self._folds()]

    @property
    def losses(self) -> list[float]:
        """The loss of each fold, in nats."""
        return [float(self.scores.nats[fold].mean()) for fold in self._folds()]

    def payload(self) -> dict[str, Any]:
        """Return mean and spread (standard deviation over the folds) as JSON values."""
        return {
            "folds": int(self.fold_of.max()) + 1,
            "accuracy": _spread(self.accuracies),
            "loss": _spread(self.losses),
        }

    def _folds(self) -> list[np.ndarray]:
        return [self.fold_of == fold for fold in range(int(self.fold_of.max()) + 1)]


def cross_validate(
    features: Features,
    count: int,
    solver: SolverOptions = SolverOptions(),
    groups: np.ndarray | None = None,
) -> CrossValidation:
    """Train `count` heads, each on all folds but one, and ask each about that one.

    lbfgs chooses its strength in the first fold's training images and keeps it for the others.
    features: the labelled ones. groups: int64 (N,), equal for images that share a fold.

    Raises:
        Failure: too few images, or they do not fit into memory.
    """
    fold_of = folds(features.y, count, solver.seed, groups)
    (rows,) = load_sides([features.rows(block=solver.block(features.dimension))], solver, times=2)
    probabilities = np.empty((len(features), len(features.classes)), np.float32)
    nats = np.empty(len(features))
    solution = None
    for fold in range(count):
        train = _chosen(rows, features, fold_of != fold, solver)
        if solution is None:
            solution = solve(train, None, len(features.classes), solver)
        else:
            solution = solve_again(solution, train, len(features.classes), solver)
        held_out = np.flatnonzero(fold_of == fold)
        for positions, block in _chosen(rows, features, fold_of == fold, solver).blocks():
            logs = log_softmax(block @ solution.weights + solution.biases)
            images = held_out[positions]
            probabilities[images] = np.exp(logs)
            nats[images] = losses(logs, features.y[images])
    return CrossValidation(fold_of, Scores(features.y, probabilities, nats))


def _chosen(
    rows: FeatureRows, features: Features, chosen: np.ndarray, solver: SolverOptions
) -> FeatureRows:
    if isinstance(rows, LoadedRows):
        return LoadedRows(rows.features[chosen], rows.labels[chosen])
    return features.rows(np.flatnonzero(chosen), block=solver.block(features.dimension))


def _spread(values: list[float]) -> dict[str, Any]:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "deviation": deviation, "folds": values}
