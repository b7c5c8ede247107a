"""Features into a head: split, solver, temperature, scores."""

import logging
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cache.commandline.printable import printable
from cache.commandline.words import counted
from cache.files import home_path
from engine.heads.cross_validation import CrossValidation, cross_validate
from engine.heads.features import Features
from engine.heads.figures import Figures, figures
from engine.heads.head import Head
from engine.heads.neighbours import groups_of, near_pairs
from engine.heads.scores import Scores, calibration_error, confidence_bins, score
from engine.heads.solution import Solution
from engine.heads.solvers import SolverOptions, load_sides, solve
from engine.heads.split import SIDES, Split, SplitOptions, split
from engine.heads.temperature import scaled_where_it_helps

_log = logging.getLogger(__name__)

# Class names in one warning.
_NAMED = 5

# The share of the images that one group of near-duplicates may have without a warning.
_ALIKE = 0.1


@dataclass(frozen=True, repr=False)
class Fit:
    """A trained head and how it came about.

    features: the labelled images. train, validation, test: scores, in the order of the split's
    indices; validation is None where the split has none.
    temperature: what the logits were divided by; 1 where that did not help.
    unscaled_error: the test's calibration error at a temperature of 1.
    cross_validation: None unless folds were asked for.
    seconds: from the split to the last score. warnings: what was logged as such.
    """

    features: Features
    options: SplitOptions
    solver: SolverOptions
    split: Split
    solution: Solution
    head: Head
    train: Scores
    validation: Scores | None
    test: Scores
    temperature: float
    unscaled_error: float
    cross_validation: CrossValidation | None
    seconds: float
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Say in a line how it came about and how good it is: a cell of a notebook ends so."""
        return (
            f"Fit({self.solver.solver}, {self.split.name}: "
            f"{len(self.split.train):,} train, {len(self.split.validation):,} validation, "
            f"{len(self.split.test):,} test images; test accuracy {self.test.accuracy:.4f}, "
            f"loss {self.test.loss:.4f})"
        )

    def scores(self, side: str) -> Scores | None:
        """Return the scores of one of SIDES."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[side]

    def save(self, folder: str | Path) -> Path:
        """Write head, metrics and predictions into a folder, which is made; return it.

        `engine.estimators.fit.write_fit`, which `onceover` names too, writes the report as well.

        Raises:
            Failure: `folder` is a file, or a head of other choices is in it.
            OSError: something could not be written.
        """
        from engine.heads.files import write_head  # which builds on this module

        path = home_path(folder)
        write_head(self, path)
        return path

    @cached_property
    def figures(self) -> Figures:
        """What the head comes to on the test images, with intervals."""
        return figures(self.test, self.options.seed)

    def payload(self) -> dict[str, Any]:
        """Return the JSON object of `--json`, but for where the head was written."""
        test = self.figures.payload(self.features.classes)
        payload: dict[str, Any] = {
            "space": self.features.space.id,
            "classes": list(self.features.classes),
            "trainable_parameters": self.head.trainable_parameters,
            "split": {side: len(self.split.side(side)) for side in SIDES},
            "train": _brief(self.train),
            "validation": _brief(self.validation),
            "test": {**test, "confusion": self.test.confusion.tolist()},
            "temperature": self.temperature,
        }
        if self.cross_validation is not None:
            payload["cross_validation"] = self.cross_validation.payload()
        return {**payload, "solver": self.solver.solver, "seconds": round(self.seconds, 4)}


def _brief(scores: Scores | None) -> dict[str, float] | None:
    return None if scores is None else {"loss": scores.loss, "accuracy": scores.accuracy}


def fit(
    features: Features,
    options: SplitOptions = SplitOptions(),
    solver: SolverOptions = SolverOptions(),
    *,
    folds: int = 0,
) -> Fit:
    """Train a head on the labelled ones of `features` and score it.

    The same features, options and machine give the same head, bit for bit.
    folds: also score heads that are each trained on all folds but one; 0 for no such.

    Raises:
        Failure: the labels or the features cannot be used, see their modules.
    """
    started = time.perf_counter()
    labelled = features.labelled()
    groups = None
    if options.group_duplicates:
        groups = groups_of(near_pairs(labelled.X), len(labelled))
        largest = int(np.bincount(groups).max())
        if largest > _ALIKE * len(labelled):
            _log.warning(
                "near-duplicates hold %s of %s together: these are so alike to the "
                "backbone that the sides may be uneven",
                f"{largest:,}",
                counted(len(labelled), "image"),
            )
    parts = split(labelled.y, options, own=labelled.own_sides, groups=groups)
    for remark in parts.remarks:
        _log.info(remark)
    warnings = _absences(features, labelled, parts)
    for warning in warnings:
        _log.warning(warning)
    block = solver.block(features.dimension)
    sides = load_sides([labelled.rows(parts.side(side), block=block) for side in SIDES], solver)
    _log.info(
        "%s trains on %s of %s, split %s",
        solver.solver,
        counted(len(parts.train), "image"),
        counted(len(labelled.classes), "class", "classes"),
        parts.name,
    )
    solution = solve(sides[0], sides[1], len(labelled.classes), solver)
    plain = Head(
        solution.weights,
        solution.biases,
        labelled.classes,
        features.space.id,
        features.space.description,
        features.space.notes(),
    )
    head, temperature = plain, 1.0
    if len(parts.validation) and not solver.balanced:  # balanced ones are not meant to be as sure
        head, temperature = scaled_where_it_helps(plain, sides[1])
    test = score(head, sides[2])
    unscaled = test if head is plain else score(plain, sides[2])
    return Fit(
        features=labelled,
        options=options,
        solver=solver,
        split=parts,
        solution=solution,
        head=head,
        train=score(head, sides[0]),
        validation=score(head, sides[1]) if len(parts.validation) else None,
        test=test,
        temperature=temperature,
        unscaled_error=calibration_error(confidence_bins(unscaled)),
        cross_validation=cross_validate(labelled, folds, solver, groups) if folds else None,
        seconds=time.perf_counter() - started,
        warnings=tuple(warnings),
    )


def _absences(features: Features, labelled: Features, parts: Split) -> list[str]:
    """Return warnings of images that are left out and of classes that a side does not have."""
    used = sum(len(parts.side(side)) for side in SIDES)
    left_out = (
        (
            len(features.conflicts),
            f"whose bytes occur under several labels: {features.named_conflicts()}",
        ),
        (features.unlabelled, "without a label"),
        (features.missing, "whose features the cache has lost; run the extraction again"),
        (len(labelled) - used, "that the source's own split puts nowhere"),
    )
    warnings = [
        f"left out: {count} image{'s' * (count > 1)} {reason}"
        for count, reason in left_out
        if count
    ]
    if parts.name == "own" and (several := features.on_several_sides):
        warnings.append(
            f"{several} image{'s' * (several > 1)} of the same bytes on several sides of the "
            "source's split: each counts on the first alone, train before test"
        )
    for side in SIDES[1:]:
        chosen = parts.side(side)
        there = np.bincount(labelled.y[chosen], minlength=len(features.classes))
        absent = [features.classes[code] for code in np.flatnonzero(there == 0)]
        if absent and len(chosen):
            named = ", ".join(printable(label, 40) for label in absent[:_NAMED])
            more = ", ..." if len(absent) > _NAMED else ""
            warnings.append(f"too few images for {side}, so it says nothing of: {named}{more}")
    return warnings
