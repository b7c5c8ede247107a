"""A cache into a head: dataset, split, solver, scores."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cache.commandline.printable import printable
from cache.store import FeatureCache, Space
from engine.heads.dataset import SIDES, Dataset, Split, load_dataset, split
from engine.heads.head import Head
from engine.heads.rows import StoredRows
from engine.heads.scores import Scores, score
from engine.heads.solvers import SolverOptions, solve

# Class names in one warning.
_NAMED = 5


@dataclass(frozen=True)
class FitOptions:
    """The options of `python -m engine.fit_head` that change the head.

    space: the beginning of an id; None for the only one. datasets: None for all.
    percentages: of train, validation and test. seed: of the split.
    """

    cache: str
    space: str | None = None
    datasets: Sequence[str] | None = None
    percentages: tuple[int, int, int] = (70, 15, 15)
    seed: int = 0
    solver: SolverOptions = field(default_factory=SolverOptions)


@dataclass(frozen=True)
class Fit:
    """A trained head and how it came about.

    scores: of train, validation and test, in the order of the split's indices.
    history, chosen: see `engine.heads.solvers.Solved`.
    seconds: from opening the cache to the last score.
    """

    options: FitOptions
    space: Space
    dataset: Dataset
    split: Split
    head: Head
    scores: tuple[Scores, Scores, Scores]
    history: tuple[dict[str, Any], ...]
    chosen: dict[str, Any]
    seconds: float

    @property
    def datasets(self) -> list[str]:
        """The names of the datasets that the images are from."""
        return list(self.options.datasets or self.space.datasets())

    def payload(self) -> dict[str, Any]:
        """Return the JSON object of `--json`, but for where the head was written."""
        train, validation, test = self.scores
        return {
            "space": self.space.id,
            "classes": list(self.dataset.classes),
            "trainable_parameters": self.head.trainable_parameters,
            "split": {side: len(self.split.side(side)) for side in SIDES},
            "train": train.payload(),
            "validation": validation.payload(),
            "test": {**test.payload(), "confusion": test.confusion.tolist()},
            "solver": self.options.solver.solver,
            "seconds": round(self.seconds, 4),
        }


def fit(options: FitOptions, say: Callable[[str], None], warn: Callable[[str], None]) -> Fit:
    """Train a head on the features of a cache and score it.

    The same cache, options and machine give the same head, bit for bit.

    Raises:
        Failure: the cache, its labels or its features cannot be used, see their modules.
        UsageFailure: there is no such space or dataset, or several to choose from.
    """
    started = time.perf_counter()
    space = FeatureCache.open(options.cache).space(options.space)
    index = space.index(warn)
    dataset = load_dataset(space, index, options.datasets)
    parts = split(dataset.labels, options.percentages, options.seed)
    _warn_of_absences(dataset, parts, warn)
    sides = [
        StoredRows(
            index,
            dataset.digests[chosen],
            dataset.labels[chosen],
            [dataset.paths[number] for number in chosen],
            options.solver.block(space.dimension),
        )
        for chosen in map(parts.side, SIDES)
    ]
    say(
        f"{options.solver.solver} trains on {len(parts.train)} images "
        f"of {len(dataset.classes)} classes"
    )
    solved = solve(sides, len(dataset.classes), options.solver)
    head = Head(
        solved.weights,
        solved.biases,
        dataset.classes,
        space.id,
        space.description,
        space.notes(),
    )
    train, validation, test = (score(head, rows) for rows in solved.rows)
    return Fit(
        options,
        space,
        dataset,
        parts,
        head,
        (train, validation, test),
        solved.history,
        solved.chosen,
        time.perf_counter() - started,
    )


def _warn_of_absences(dataset: Dataset, parts: Split, warn: Callable[[str], None]) -> None:
    """Warn of images that are left out and of classes that a side does not have."""
    if dataset.conflicting:
        warn(f"{dataset.conflicting} images are left out: their bytes occur under several labels")
    if dataset.unlabelled:
        warn(f"{dataset.unlabelled} images are left out: they have no label")
    if dataset.missing:
        warn(
            f"{dataset.missing} images are left out: the cache has lost their features; "
            "run the extraction again"
        )
    for side in SIDES[1:]:
        there = np.bincount(dataset.labels[parts.side(side)], minlength=len(dataset.classes))
        absent = [dataset.classes[code] for code in np.flatnonzero(there == 0)]
        if absent:
            named = ", ".join(printable(label, 40) for label in absent[:_NAMED])
            more = ", ..." if len(absent) > _NAMED else ""
            warn(f"too few images for {side}, so it says nothing of: {named}{more}")
