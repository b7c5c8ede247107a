"""How good a head is on images with known labels: loss, accuracy, intervals, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.heads.head import Head
from engine.heads.rows import FeatureRows
from engine.heads.softmax import log_softmax, losses

# The standard normal's 97.5 % point: an interval that holds the truth in 95 % of cases.
_NORMAL = 1.959964

_BINS = 10


@dataclass(frozen=True)
class Scores:
    """A head's answers to N images, in their order.

    labels: the true classes, int64 (N,). predicted: the most probable ones, int64 (N,).
    confidences: their probabilities, float32 (N,). nats: each image's cross-entropy, float64 (N,).
    classes: how many there are.
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidences: np.ndarray
    nats: np.ndarray
    classes: int

    @property
    def loss(self) -> float:
        """The mean categorical cross-entropy in nats."""
        return float(self.nats.mean())

    @property
    def accuracy(self) -> float:
        """The share of images whose most probable class is the true one."""
        return float((self.predicted == self.labels).mean())

    @property
    def confusion(self) -> np.ndarray:
        """How often each true class (row) was taken for each class (column): int64 (C, C)."""
        cells = self.labels * self.classes + self.predicted
        return np.bincount(cells, minlength=self.classes**2).reshape(self.classes, self.classes)

    def payload(self) -> dict[str, Any]:
        """Return loss and accuracy as JSON values."""
        return {"loss": self.loss, "accuracy": self.accuracy}


def score(head: Head, rows: FeatureRows) -> Scores:
    """Return a head's scores on rows of features."""
    count = len(rows.labels)
    predicted = np.empty(count, np.int64)
    confidences = np.empty(count, np.float32)
    nats = np.empty(count)
    for positions, features in rows.blocks():
        logs = log_softmax(head.logits(features))
        best = logs.argmax(axis=1)
        predicted[positions] = best
        confidences[positions] = np.exp(logs[np.arange(len(logs)), best])
        nats[positions] = losses(logs, rows.labels[positions])
    return Scores(rows.labels, predicted, confidences, nats, len(head.classes))


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of `count` trials (Wilson, JASA 22, 1927)."""
    spread = _NORMAL**2 / count
    centre = (share + spread / 2) / (1 + spread)
    half = np.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


@dataclass(frozen=True)
class ClassFigures:
    """One class on the test images; nan where there is nothing to divide by.

    images: how many there are. recall: the share of them that was taken for the class.
    precision: the share of what was taken for the class that belongs to it.
    """

    images: int
    recall: float
    precision: float


def per_class(confusion: np.ndarray) -> list[ClassFigures]:
    """Return each class's figures from a confusion matrix, int64 (C, C), true classes in rows."""
    right, are, taken = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):
        recalls, precisions = right / are, right / taken
    return [
        ClassFigures(int(images), float(recall), float(precision))
        for images, recall, precision in zip(are, recalls, precisions, strict=True)
    ]


@dataclass(frozen=True)
class Bin:
    """The images whose answers have a confidence in [low, high); both means 0 without any.

    confidence: the mean. accuracy: the share that is right.
    """

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


def confidence_bins(scores: Scores) -> list[Bin]:
    """Return ten equal bins of confidence, the last one with 1 in it.

    From a half for two classes, as no answer is less sure; from 0 for more.
    """
    low = 0.5 if scores.classes == 2 else 0.0
    edges = np.linspace(low, 1, _BINS + 1)
    number = np.clip(np.digitize(scores.confidences, edges) - 1, 0, _BINS - 1)
    counts = np.bincount(number, minlength=_BINS)
    right = np.bincount(number, scores.predicted == scores.labels, minlength=_BINS)
    sure = np.bincount(number, scores.confidences, minlength=_BINS)
    divisors = np.maximum(counts, 1)
    return [
        Bin(float(edges[b]), float(edges[b + 1]), int(counts[b]), float(s), float(r))
        for b, (s, r) in enumerate(zip(sure / divisors, right / divisors, strict=True))
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error (Guo et al., ICML 2017, equation 3)."""
    gaps = sum(b.images * abs(b.accuracy - b.confidence) for b in bins)
    return gaps / sum(b.images for b in bins)
