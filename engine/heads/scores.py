"""How good a head is on images with known labels: answers, loss, confusion, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from engine.heads.head import Head
from engine.heads.rows import FeatureRows
from engine.heads.softmax import log_softmax, losses

# Bins of equal counts that confidence is compared with accuracy in.
_BINS = 15


@dataclass(frozen=True, repr=False)
class Scores:
    """A head's answers to N images, in their order.

    labels: the true classes, int64 (N,). probabilities: float32 (N, C).
    nats: each image's cross-entropy, float64 (N,).
    """

    labels: np.ndarray
    probabilities: np.ndarray
    nats: np.ndarray

    def __repr__(self) -> str:
        """Say in a line how good they are."""
        return f"Scores({len(self)} images, accuracy {self.accuracy:.4f}, loss {self.loss:.4f})"

    def __len__(self) -> int:
        """Return N."""
        return len(self.labels)

    @property
    def classes(self) -> int:
        """C, how many classes there are."""
        return int(self.probabilities.shape[1])

    @cached_property
    def predicted(self) -> np.ndarray:
        """The most probable classes, int64 (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @cached_property
    def confidences(self) -> np.ndarray:
        """Their probabilities, float32 (N,)."""
        return np.asarray(self.probabilities.max(axis=1))

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


def score(head: Head, rows: FeatureRows) -> Scores:
    """Return a head's scores on rows of features."""
    probabilities = np.empty((len(rows.labels), len(head.classes)), np.float32)
    nats = np.empty(len(rows.labels))
    for positions, features in rows.blocks():
        logs = log_softmax(head.logits(features))
        probabilities[positions] = np.exp(logs)
        nats[positions] = losses(logs, rows.labels[positions])
    return Scores(rows.labels, probabilities, nats)


@dataclass(frozen=True)
class Bin:
    """Images whose answers are of about the same confidence.

    confidence: the mean. accuracy: the share that is right.
    """

    images: int
    confidence: float
    accuracy: float


def bin_numbers(confidences: np.ndarray) -> np.ndarray:
    """Return each answer's bin, int64 (N,): at most 15 of equal counts, by rising confidence."""
    count = len(confidences)
    ranks = np.empty(count, np.int64)
    ranks[np.argsort(confidences, kind="stable")] = np.arange(count)
    return np.asarray(ranks * min(_BINS, count) // max(count, 1))


def confidence_bins(scores: Scores) -> list[Bin]:
    """Return the bins of answers, by rising confidence; none is empty."""
    number = bin_numbers(scores.confidences)
    counts = np.bincount(number)
    right = np.bincount(number, scores.predicted == scores.labels)
    sure = np.bincount(number, scores.confidences)
    return [
        Bin(int(images), float(s / images), float(r / images))
        for images, s, r in zip(counts, sure, right, strict=True)
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error (Guo et al., ICML 2017, equation 3)."""
    gaps = sum(b.images * abs(b.accuracy - b.confidence) for b in bins)
    return gaps / sum(b.images for b in bins)
