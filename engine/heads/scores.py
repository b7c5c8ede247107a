"""How good a head is on images with known labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.heads.head import Head
from engine.heads.rows import FeatureRows
from engine.heads.softmax import log_softmax, losses


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
