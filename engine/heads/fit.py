"""Features into a head: split, solver, scores."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.commandline.printable import printable
from engine.heads.features import Features
from engine.heads.head import Head
from engine.heads.scores import Scores, score
from engine.heads.solution import Solution
from engine.heads.solvers import SolverOptions, load_sides, solve
from engine.heads.split import SIDES, Split, SplitOptions, split

_log = logging.getLogger(__name__)

# Class names in one warning.
_NAMED = 5


@dataclass(frozen=True)
class Fit:
    """A trained head and how it came about.

    features: the labelled images. train, validation, test: scores, in the order of the split's
    indices. seconds: from the split to the last score.
    """

    features: Features
    options: SplitOptions
    solver: SolverOptions
    split: Split
    solution: Solution
    head: Head
    train: Scores
    validation: Scores
    test: Scores
    seconds: float

    def scores(self, side: str) -> Scores:
        """Return the scores of one of SIDES."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[side]

    def save(self, folder: str | Path) -> Path:
        """Write `head.npz` and `metrics.json` into a folder, which is made; return it.

        Raises:
            Failure: `folder` is a file, or a head of other choices is in it.
            OSError: something could not be written.
        """
        from engine.heads.files import write_head  # which builds on this module

        path = Path(folder).expanduser()
        write_head(self, path)
        return path

    def payload(self) -> dict[str, Any]:
        """Return the JSON object of `--json`, but for where the head was written."""
        return {
            "space": self.features.space.id,
            "classes": list(self.features.classes),
            "trainable_parameters": self.head.trainable_parameters,
            "split": {side: len(self.split.side(side)) for side in SIDES},
            "train": self.train.payload(),
            "validation": self.validation.payload(),
            "test": {**self.test.payload(), "confusion": self.test.confusion.tolist()},
            "solver": self.solver.solver,
            "seconds": round(self.seconds, 4),
        }


def fit(
    features: Features,
    options: SplitOptions = SplitOptions(),
    solver: SolverOptions = SolverOptions(),
) -> Fit:
    """Train a head on the labelled ones of `features` and score it.

    The same features, options and machine give the same head, bit for bit.

    Raises:
        Failure: the labels or the features cannot be used, see their modules.
    """
    started = time.perf_counter()
    labelled = features.labelled()
    parts = split(labelled.y, options)
    _warn_of_absences(features, parts)
    block = solver.block(features.dimension)
    sides = load_sides([labelled.rows(parts.side(side), block=block) for side in SIDES], solver)
    _log.info(
        "%s trains on %d images of %d classes",
        solver.solver,
        len(parts.train),
        len(labelled.classes),
    )
    solution = solve(sides[0], sides[1], len(labelled.classes), solver)
    space = features.space
    head = Head(
        solution.weights,
        solution.biases,
        labelled.classes,
        space.id,
        space.description,
        space.notes(),
    )
    train, validation, test = (score(head, rows) for rows in sides)
    seconds = time.perf_counter() - started
    return Fit(labelled, options, solver, parts, solution, head, train, validation, test, seconds)


def _warn_of_absences(features: Features, parts: Split) -> None:
    """Warn of images that are left out and of classes that a side does not have."""
    left_out = (
        (
            len(features.conflicts),
            f"whose bytes occur under several labels: {features.named_conflicts()}",
        ),
        (features.unlabelled, "without a label"),
        (features.missing, "whose features the cache has lost; run the extraction again"),
    )
    for count, reason in left_out:
        if count:
            _log.warning("left out: %d image%s %s", count, "s" * (count > 1), reason)
    labels = features.y[features.y >= 0]
    for side in SIDES[1:]:
        there = np.bincount(labels[parts.side(side)], minlength=len(features.classes))
        absent = [features.classes[code] for code in np.flatnonzero(there == 0)]
        if absent:
            named = ", ".join(printable(label, 40) for label in absent[:_NAMED])
            more = ", ..." if len(absent) > _NAMED else ""
            _log.warning("too few images for %s, so it says nothing of: %s%s", side, named, more)
