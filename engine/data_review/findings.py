"""Features -> findings: suspected labels, near-duplicates, odd and uncertain images."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache.commandline.words import counted
from cache.failures import Failure
from engine.heads.cross_validation import cross_validate
from engine.heads.features import Features
from engine.heads.neighbours import Pairs, groups_of, near_pairs
from engine.heads.scores import Scores
from engine.heads.solvers import SolverOptions
from engine.heads.split import SIDES, split

_log = logging.getLogger(__name__)

# How many odd, uncertain or alike images count as findings at most; the sheet has every image.
_MOST = 200


@dataclass(frozen=True)
class Findings:
    """What the features say of N images. Indices are those of `features`.

    features: all images, labelled or not.
    judged: int64 (J,): images that were asked about; none where there are not two classes.
    scores: what heads that were trained on the other folds say of them, in that order; or None.
    suspicion: float64 (N,): one less the probability of an image's label, so the higher the more
        suspected; nan for one that was not asked about.
    suggested: int64 (N,): the most probable class, -1 where there is none.
    confidence: float64 (N,): its probability; nan where there is none.
    sides: int64 (N,), indices into SIDES: of the source's split, or of `fit_head`'s; -1 for none.
    pairs: near-duplicates, those on two sides first, each part by falling cosine.
    """

    features: Features
    judged: np.ndarray
    scores: Scores | None
    suspicion: np.ndarray
    suggested: np.ndarray
    confidence: np.ndarray
    sides: np.ndarray
    pairs: Pairs

    @property
    def ranked(self) -> np.ndarray:
        """All images, the most suspected first: int64 (N,)."""
        return np.argsort(-np.nan_to_num(self.suspicion, nan=-1), kind="stable")

    @property
    def suspects(self) -> np.ndarray:
        """Images whose label another one is more probable than, the most suspected first."""
        labels = self.features.y
        wrong = (self.suggested >= 0) & (self.suggested != labels)
        ranked = self.ranked
        return np.asarray(ranked[wrong[ranked]])

    @property
    def uncertain(self) -> np.ndarray:
        """Images that the heads are least certain of, the least first."""
        order = np.argsort(np.nan_to_num(self.confidence, nan=2), kind="stable")
        return order[: min(_MOST, len(self.judged))]

    @property
    def outliers(self) -> np.ndarray:
        """Images that are least like any other, the least first."""
        return np.argsort(self.pairs.nearest, kind="stable")[:_MOST]

    def side(self, image: int) -> str:
        """Return the name of an image's side, or nothing."""
        return SIDES[self.sides[image]] if self.sides[image] >= 0 else ""

    def label(self, image: int) -> str:
        """Return an image's label, or nothing."""
        code = self.features.y[image]
        return self.features.classes[code] if code >= 0 else ""

    def payload(self) -> dict[str, Any]:
        """Return the JSON object of `--json`, but for where the pages were written."""
        features = self.features
        return {
            "space": features.space.id,
            "classes": dict(zip(features.classes, features.counts.tolist(), strict=True)),
            "images": len(features),
            "labels": [
                {
                    "path": features.paths[image],
                    "label": self.label(image),
                    "suggested": features.classes[self.suggested[image]],
                    "score": float(self.suspicion[image]),
                }
                for image in self.suspects
            ],
            "duplicates": [
                {
                    "paths": [features.paths[image] for image in pair],
                    "cosine": float(cosine),
                    "sides": [self.side(image) for image in pair],
                }
                for pair, cosine in zip(self.pairs.images, self.pairs.cosines, strict=True)
            ][:_MOST],
            "conflicts": [
                {
                    "samples": [
                        {"dataset": dataset, "path": path, "label": label}
                        for dataset, path, label in conflict.samples
                    ]
                }
                for conflict in features.conflicts
            ],
            "rejected": [{"path": path, "reason": reason} for path, reason in features.rejected],
            "outliers": [
                {"path": features.paths[image], "nearest": float(self.pairs.nearest[image])}
                for image in self.outliers
            ],
            "uncertain": [
                {"path": features.paths[image], "confidence": float(self.confidence[image])}
                for image in self.uncertain
            ],
        }


def review(features: Features, *, folds: int = 5, seed: int = 0) -> Findings:
    """Look through the images of a cache.

    Each labelled image is judged by a head that was trained on the other folds, with
    near-duplicates in one fold. Images of a class with less than two are not judged.

    Raises:
        Failure: there is no image, or the features do not fit into memory.
    """
    if not len(features):
        raise Failure("there is no image to review; extract a source into this cache first")
    _log.info("comparing %s with each other", counted(len(features), "image"))
    pairs = near_pairs(features.X)
    groups = groups_of(pairs.of_nearest(), len(features))
    judged, scores = _judged(features, groups, folds, seed)
    count = len(features)
    suspicion, confidence = np.full(count, np.nan), np.full(count, np.nan)
    suggested = np.full(count, -1)
    if scores is not None:
        own = scores.probabilities[np.arange(len(judged)), scores.labels]
        suspicion[judged] = 1 - own.astype(np.float64)
        confidence[judged] = scores.confidences
        suggested[judged] = scores.predicted
    sides = _sides(features)
    first, second = sides[pairs.images[:, 0]], sides[pairs.images[:, 1]]
    across = (first != second) & (first >= 0) & (second >= 0)
    order = np.lexsort((-pairs.cosines, ~across))
    sorted_pairs = Pairs(pairs.images[order], pairs.cosines[order], pairs.nearest)
    return Findings(features, judged, scores, suspicion, suggested, confidence, sides, sorted_pairs)


def _judged(
    features: Features, groups: np.ndarray, folds: int, seed: int
) -> tuple[np.ndarray, Scores | None]:
    enough = features.counts >= 2
    if enough.sum() < 2:
        _log.warning("no label can be checked: that takes two classes of two images at least")
        return np.empty(0, np.int64), None
    judged = np.flatnonzero((features.y >= 0) & enough[features.y])
    _log.info("asking about %s, each by a head that did not see it", counted(len(judged), "label"))
    some = features.subset(judged)
    count = min(folds, len(judged))
    solver = SolverOptions(seed=seed)
    return judged, cross_validate(some, count, solver, groups[judged]).scores


def _sides(features: Features) -> np.ndarray:
    """Return the sides that `fit_head` puts the images on, -1 where none."""
    sides = np.full(len(features), -1)
    labelled = np.flatnonzero(features.y >= 0)
    try:
        parts = split(features.y[labelled], own=features.own_sides[labelled])
    except Failure:
        return sides  # too few images to divide: there are no sides to lie across
    for number, name in enumerate(SIDES):
        sides[labelled[parts.side(name)]] = number
    return sides
