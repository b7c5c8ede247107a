"""The two solvers behind one signature: the rows of two sides in, weights and biases out."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cache.failures import Failure
from engine.heads.adam import Recipe, adam_epochs
from engine.heads.l2_path import fit_at, fit_regularised
from engine.heads.rows import FeatureRows, LoadedRows, StoredRows
from engine.heads.softmax import log_softmax, losses
from engine.heads.solution import Solution
from engine.heads.split import SplitOptions, split

# The share of adam's memory that validation may take for the curve over the epochs.
_VALIDATION_SHARE = 4


@dataclass(frozen=True)
class SolverOptions:
    """Which solver, and what only one of them heeds.

    solver: `lbfgs`, or `adam` with its epochs and batch_size. seed: of adam's initial weights and
    order. memory: bytes of features that adam may hold. balanced: each class counts the same in
    the loss, whatever its images.
    """

    solver: str = "lbfgs"
    epochs: int = 10
    batch_size: int = 128
    seed: int = 0
    memory: int = 2**30
    balanced: bool = False

    def block(self, dimension: int) -> int:
        """Return how many rows of so many floats adam reads at a time: whole batches."""
        share = self.memory - self.memory // _VALIDATION_SHARE
        return max(1, share // (4 * dimension * self.batch_size)) * self.batch_size


def load_sides(
    sides: Sequence[StoredRows], options: SolverOptions, times: int = 1
) -> Sequence[FeatureRows]:
    """Read sides into memory as the solver needs them; adam leaves what is too large on disk.

    times: how many copies the caller will hold.

    Raises:
        Failure: the features are not finite, or lbfgs cannot hold them in memory.
    """
    size = sum(4 * rows.dimension * len(rows.labels) for rows in sides) * times
    if options.solver == "adam" and size > options.memory:
        return sides
    if options.solver == "lbfgs":
        _check_memory(size)
    return [rows.load() for rows in sides]


def solve(
    train: FeatureRows, validation: FeatureRows | None, classes: int, options: SolverOptions
) -> Solution:
    """Train on one side, and choose or watch by the other; rows as `load_sides` gives them.

    validation: None, or without a row: lbfgs chooses its strength on a fifth of the training
    images, by a head that is trained on the others, and then trains on all.

    Raises:
        Failure: the features are not finite or too large.
    """
    if validation is not None and not len(validation.labels):
        validation = None
    if options.solver == "adam":
        return _adam(train, validation, classes, options)
    assert isinstance(train, LoadedRows)
    if validation is None:
        return _without_validation(train, classes, options)
    assert isinstance(validation, LoadedRows)
    return fit_regularised(train, validation, classes, balanced=options.balanced)


def solve_again(
    solution: Solution, train: FeatureRows, classes: int, options: SolverOptions
) -> Solution:
    """Train on other images as a solution was: lbfgs at the strength that it chose.

    Raises:
        Failure: the features are not finite or too large.
    """
    if options.solver == "adam":
        return _adam(train, None, classes, options)
    assert isinstance(train, LoadedRows)
    return fit_at(train, classes, solution.chosen["l2"], balanced=options.balanced)


def _without_validation(train: LoadedRows, classes: int, options: SolverOptions) -> Solution:
    parts = split(train.labels, SplitOptions((80, 20), options.seed))
    inner, held_out = (
        LoadedRows(train.features[side], train.labels[side]) for side in (parts.train, parts.test)
    )
    path = fit_regularised(inner, held_out, classes, balanced=options.balanced)
    solution = fit_at(train, classes, path.chosen["l2"], balanced=options.balanced)
    return replace(solution, history=path.history)


def _adam(
    train: FeatureRows, validation: FeatureRows | None, classes: int, options: SolverOptions
) -> Solution:
    watched = validation.first(options.memory // _VALIDATION_SHARE) if validation else None
    recipe = Recipe(options.epochs, options.batch_size, options.balanced)
    rng = np.random.default_rng([options.seed, 1])
    history = []
    for epoch in adam_epochs(train, classes, recipe, rng):
        point = {
            "epoch": epoch.number,
            "train_loss": epoch.loss,
            "train_accuracy": epoch.accuracy,
        }
        if watched is not None:
            logs = log_softmax(watched.features @ epoch.weights + epoch.biases)
            point["validation_loss"] = float(losses(logs, watched.labels).mean())
            point["validation_accuracy"] = float((logs.argmax(axis=1) == watched.labels).mean())
        history.append(point)
    chosen = {"epochs": options.epochs, "batch_size": options.batch_size}
    return Solution(epoch.weights, epoch.biases, chosen, tuple(history))


def installed_memory() -> int | None:
    """Return the machine's memory in bytes; None on Windows, which does not promise too much."""
    if not hasattr(os, "sysconf"):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _check_memory(needed: int) -> None:
    """Refuse what the machine cannot hold, before its kernel ends the process half-way."""
    installed = installed_memory()
    if installed is not None and needed > installed:
        raise Failure(
            f"lbfgs needs {needed / 2**30:.1f} GiB for these features and the machine has "
            f"{installed / 2**30:.1f}; take the solver adam, which reads them block by block"
        )
