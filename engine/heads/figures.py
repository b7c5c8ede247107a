"""A head's figures with what they are uncertain by: 95 % intervals, by Wilson or by bootstrap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.heads.scores import Scores, bin_numbers

# The standard normal's 97.5 % point: an interval that holds the truth in 95 % of cases.
_NORMAL = 1.959964

# Drawn test sets (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3), how
# many images are drawn at a time, and up to how many classes the area under the curve is drawn.
_DRAWS = 1000
_DRAWN = 2**21
_AREA_CLASSES = 20


@dataclass(frozen=True)
class Figure:
    """A value and its 95 % interval; the interval is None where it was not drawn."""

    value: float
    interval: tuple[float, float] | None

    def payload(self) -> dict[str, Any]:
        """Return it as JSON values: null for what there was nothing to divide by."""
        interval = None if self.interval is None else [_json(end) for end in self.interval]
        return {"value": _json(self.value), "interval": interval}


@dataclass(frozen=True)
class ClassFigures:
    """One class on the test images; nan where there is nothing to divide by.

    images: how many there are. recall: the share of them that was taken for the class.
    precision: the share of what was taken for the class that belongs to it.
    """

    images: int
    recall: Figure
    precision: Figure


@dataclass(frozen=True)
class Figures:
    """What a head comes to on N images.

    balanced_accuracy: the mean of the classes' recalls. roc_auc: the area under the curve of
    true against false positives; over more than two classes the mean of each against the others.
    calibration_error: over 15 bins of equal counts. baseline: the share of the largest class,
    which is what always answering it comes to.
    """

    accuracy: Figure
    balanced_accuracy: Figure
    loss: Figure
    roc_auc: Figure
    calibration_error: Figure
    baseline: float
    baseline_class: int
    per_class: tuple[ClassFigures, ...]

    def payload(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return all as JSON values, with the names of the classes."""
        names = ("balanced_accuracy", "roc_auc", "calibration_error")
        return {
            "loss": self.loss.value,
            "accuracy": self.accuracy.value,
            "interval": list(self.accuracy.interval or ()),
            "loss_interval": list(self.loss.interval or ()),
            **{name: getattr(self, name).payload() for name in names},
            "baseline": {"class": classes[self.baseline_class], "accuracy": self.baseline},
            "per_class": {
                label: {
                    "images": figures.images,
                    "recall": figures.recall.payload(),
                    "precision": figures.precision.payload(),
                }
                for label, figures in zip(classes, self.per_class, strict=True)
            },
        }


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of `count` trials (Wilson, JASA 22, 1927)."""
    spread = _NORMAL**2 / count
    centre = (share + spread / 2) / (1 + spread)
    half = np.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def figures(scores: Scores, seed: int = 0) -> Figures:
    """Return a head's figures on images, of which there is one at least.

    seed: of the drawn test sets. The same scores give the same figures.
    """
    drawn = _drawn(scores, seed)
    confusion = scores.confusion
    images = confusion.sum(axis=1)
    return Figures(
        _share(int(np.diag(confusion).sum()), len(scores)),
        _figure(drawn["balanced_accuracy"]),
        _figure(drawn["loss"]),
        _figure(drawn["roc_auc"]),
        _figure(drawn["calibration_error"]),
        float(images.max() / images.sum()),
        int(images.argmax()),
        per_class(confusion),
    )


def per_class(confusion: np.ndarray) -> tuple[ClassFigures, ...]:
    """Return each class's figures from a confusion matrix, int64 (C, C), true classes in rows."""
    right, are, taken = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return tuple(
        ClassFigures(int(images), _share(int(hits), int(images)), _share(int(hits), int(answers)))
        for hits, images, answers in zip(right, are, taken, strict=True)
    )


def _share(hits: int, count: int) -> Figure:
    if not count:
        return Figure(float("nan"), None)
    return Figure(hits / count, wilson_interval(hits / count, count))


def _figure(values: np.ndarray) -> Figure:
    """Return the first value with the 2.5 and 97.5 percentiles of the others."""
    others = values[1:][~np.isnan(values[1:])]
    if not len(others):
        return Figure(float(values[0]), None)
    low, high = np.percentile(others, [2.5, 97.5])
    return Figure(float(values[0]), (float(low), float(high)))


def _drawn(scores: Scores, seed: int) -> Mapping[str, np.ndarray]:
    """Return each figure of the images as they are, and then of _DRAWS test sets drawn of them."""
    count = len(scores)
    rng = np.random.default_rng(seed)
    rows = max(1, _DRAWN // count)
    parts = [_weighted(scores, np.ones((1, count), np.float32), area=True)]
    area = scores.classes <= _AREA_CLASSES
    for start in range(0, _DRAWS, rows):
        size = min(rows, _DRAWS - start)
        chosen = rng.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(chosen.ravel(), minlength=size * count)
        weights = times.reshape(size, count).astype(np.float32)
        parts.append(_weighted(scores, weights, area=area))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _weighted(scores: Scores, weights: np.ndarray, *, area: bool) -> Mapping[str, np.ndarray]:
    """Return each figure of B test sets; weights, float32 (B, N), say how often an image is in."""
    total = weights.sum(axis=1)
    right = (scores.predicted == scores.labels).astype(np.float32)
    truth = np.eye(scores.classes, dtype=np.float32)[scores.labels]
    images = weights @ truth
    hits = weights @ (truth * right[:, None])
    with np.errstate(invalid="ignore"):
        recalls = np.where(images > 0, hits / images, np.nan)
        there = (images > 0).sum(axis=1)
        balanced = np.nansum(recalls, axis=1) / there
    number = bin_numbers(scores.confidences)
    bins = np.eye(number.max() + 1, dtype=np.float32)[number]
    gaps = np.abs(weights @ (bins * (right - scores.confidences)[:, None])).sum(axis=1)
    aucs = _areas(scores, weights) if area else np.full(len(weights), np.nan)
    return {
        "balanced_accuracy": balanced,
        "loss": weights.astype(np.float64) @ scores.nats / total,
        "calibration_error": gaps / total,
        "roc_auc": aucs,
    }


def _areas(scores: Scores, weights: np.ndarray) -> np.ndarray:
    """Return the areas under the curves, float64 (B,); nan where no class has others beside it.

    Mann and Whitney's statistic: how often an image of the class has a larger probability of it
    than another image, equal ones counted by half.
    """
    codes = [1] if scores.classes == 2 else range(scores.classes)
    areas = []
    for code in codes:
        values = scores.probabilities[:, code]
        order = np.argsort(values, kind="stable")
        starts = np.flatnonzero(np.diff(values[order], prepend=-1))
        positive = (scores.labels[order] == code).astype(np.float32)
        ordered = weights[:, order]
        are = np.add.reduceat(ordered * positive, starts, axis=1, dtype=np.float64)
        others = np.add.reduceat(ordered * (1 - positive), starts, axis=1, dtype=np.float64)
        below = np.cumsum(others, axis=1) - others / 2
        pairs = are.sum(axis=1) * others.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            areas.append(np.where(pairs > 0, (are * below).sum(axis=1) / pairs, np.nan))
    table = np.array(areas)
    there = ~np.isnan(table)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, table, 0).sum(axis=0) / there.sum(axis=0))


def _json(value: float) -> float | None:
    return None if np.isnan(value) else value
