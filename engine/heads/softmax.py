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


def residuals(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the gradient of the mean loss by the logits: float64 (N, C), rows that sum to 0."""
    gradient = np.exp(log_probabilities)
    gradient[np.arange(len(labels)), labels] -= 1
    gradient /= len(labels)
    return np.asarray(gradient)
