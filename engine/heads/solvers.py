"""The two solvers behind one signature: the features of a split in, weights and biases out."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cache.failures import Failure
from engine.heads.adam import adam_epochs
from engine.heads.l2_path import fit_regularised
from engine.heads.rows import FeatureRows, LoadedRows, StoredRows
from engine.heads.softmax import log_softmax, losses

# The share of adam's memory that validation may take for the curve over the epochs.
_VALIDATION_SHARE = 4


@dataclass(frozen=True)
class SolverOptions:
    """Which solver, and what only one of them heeds.

    solver: `lbfgs`, or `adam` with its epochs and batch_size. seed: of adam's initial weights and
    order. memory: bytes of features that adam may hold.
    """

    solver: str = "lbfgs"
    epochs: int = 10
    batch_size: int = 128
    seed: int = 0
    memory: int = 2**30

    def block(self, dimension: int) -> int:
        """Return how many rows of so many floats adam reads at a time: whole batches."""
        share = self.memory - self.memory // _VALIDATION_SHARE
        return max(1, share // (4 * dimension * self.batch_size)) * self.batch_size


@dataclass(frozen=True)
class Solved:
    """What a solver found.

    weights: float32 (D, C). biases: float32 (C,). rows: of train, validation and test; in memory
    where the solver has loaded them. history: a point for each strength or epoch, as JSON values.
    chosen: as JSON values, `l2`, or `epochs` and `batch_size`.
    """

    weights: np.ndarray
    biases: np.ndarray
    rows: Sequence[FeatureRows]
    history: tuple[dict[str, Any], ...]
    chosen: dict[str, Any]


def solve(sides: Sequence[StoredRows], classes: int, options: SolverOptions) -> Solved:
    """Train on the first of `sides` (train, validation, test); the third is only handed back.

    Raises:
        Failure: the features are not finite or too large, or lbfgs cannot hold them in memory.
    """
    return (_lbfgs if options.solver == "lbfgs" else _adam)(sides, classes, options)


def _lbfgs(sides: Sequence[StoredRows], classes: int, options: SolverOptions) -> Solved:
    del options
    # The features, and a standardised copy of those for training and validation.
    _check_memory(2 * _bytes(sides))
    train, validation, test = (rows.load() for rows in sides)
    found = fit_regularised(train, validation, classes)
    return Solved(
        found.weights,
        found.biases,
        (train, validation, test),
        tuple(asdict(strength) for strength in found.path),
        {"l2": found.l2},
    )


def _adam(sides: Sequence[StoredRows], classes: int, options: SolverOptions) -> Solved:
    rows: Sequence[FeatureRows] = sides
    if _bytes(sides) <= options.memory:
        rows = [side.load() for side in sides]
    watched = _first(sides[1], options.memory // _VALIDATION_SHARE)
    epochs = adam_epochs(
        rows[0],
        classes,
        epochs=options.epochs,
        batch_size=options.batch_size,
        rng=np.random.default_rng([options.seed, 1]),
    )
    history = []
    for epoch in epochs:
        logs = log_softmax(watched.features @ epoch.weights + epoch.biases)
        history.append(
            {
                "epoch": epoch.number,
                "train_loss": epoch.loss,
                "train_accuracy": epoch.accuracy,
                "validation_loss": float(losses(logs, watched.labels).mean()),
                "validation_accuracy": float((logs.argmax(axis=1) == watched.labels).mean()),
            }
        )
    chosen = {"epochs": options.epochs, "batch_size": options.batch_size}
    return Solved(epoch.weights, epoch.biases, rows, tuple(history), chosen)


def _first(rows: StoredRows, size: int) -> LoadedRows:
    """Load the first rows, up to `size` bytes: a random sample, as digests have no meaning."""
    count = max(1, size // (4 * rows.dimension))
    return StoredRows(
        rows.index, rows.digests[:count], rows.labels[:count], rows.paths[:count], rows.block
    ).load()


def _bytes(sides: Sequence[StoredRows]) -> int:
    return sum(4 * rows.dimension * len(rows.labels) for rows in sides)


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
            f"{installed / 2**30:.1f}; use --solver adam, which reads them block by block"
        )
