"""The softmax and its loss, numerically safe at any size of logits."""

import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the log-probabilities, float64 (N, C), of logits (N, C)."""
    shifted = np.subtract(logits, logits.max(axis=1, keepdims=True), dtype=np.float64)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return np.asarray(shifted)


def losses(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each image's categorical cross-entropy in nats: float64 (N,).

    log_probabilities: (N, C). labels: int64 (N,).
    """
    return np.asarray(-log_probabilities[np.arange(len(labels)), labels])


def residuals(log_probabilities: np.ndarray, labels: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the gradient by the logits of the loss: float64 (N, C), rows that sum to 0.

    shares: float64 (N,), of each image in the loss; 1 together for the mean.
    """
    gradient = np.exp(log_probabilities)
    gradient[np.arange(len(labels)), labels] -= 1
    gradient *= shares[:, None]
    return np.asarray(gradient)


def class_weights(labels: np.ndarray, classes: int, *, balanced: bool) -> np.ndarray:
    """Return what an image of each class counts, float64 (C,): 1 on average over the images.

    labels: int64 (N,). balanced: each class counts the same in all, N / (C * count), as
    scikit-learn's `class_weight="balanced"`; else each image.
    """
    if not balanced:
        return np.ones(classes)
    counts = np.bincount(labels, minlength=classes)
    return np.asarray(len(labels) / (classes * np.maximum(counts, 1)))


def shares_of(labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the share of each image in a loss: float64 (N,), 1 together. weights: (C,)."""
    weighted = weights[labels]
    return np.asarray(weighted / weighted.sum())
