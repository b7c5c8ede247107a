"""The tutorial's recipe: a softmax layer trained by Adam, as Keras does it, over any cache size.

`Dense(classes, activation="softmax")` on frozen features, `compile("adam",
"categorical_crossentropy")`, `fit(epochs=10, batch_size=128, shuffle=True)`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.heads.rows import FeatureRows
from engine.heads.softmax import class_weights, log_softmax, losses, residuals

# Kingma & Ba, Adam, 2015, algorithm 1, with the epsilon that Keras has.
_RATE = 1e-3
_BETA_1, _BETA_2 = 0.9, 0.999
_EPSILON = 1e-7


@dataclass(frozen=True)
class Recipe:
    """How long Adam trains, on how many images a step, and whether each class counts the same."""

    epochs: int = 10
    batch_size: int = 128
    balanced: bool = False


@dataclass(frozen=True)
class Epoch:
    """What a pass over the training images came to.

    loss, accuracy: the mean over the images, each as the head stood when its batch came, which is
    what Keras reports. weights float32 (D, C), biases float32 (C,): at the end; overwritten by
    the next epoch.
    """

    number: int
    loss: float
    accuracy: float
    weights: np.ndarray
    biases: np.ndarray


def adam_epochs(
    rows: FeatureRows, classes: int, recipe: Recipe, rng: np.random.Generator
) -> Iterator[Epoch]:
    """Train and yield after each epoch; the last one has the result.

    Weights begin Glorot-uniform (Glorot & Bengio, 2010, equation 16), biases at zero. Each epoch
    takes the images in a new order: a random one where `rows` are in memory, a random one within
    random blocks where they are read from the cache.
    """
    weights = class_weights(rows.labels, classes, balanced=recipe.balanced)
    layer = _Layer(rows.dimension, weights, rng)
    for number in range(1, recipe.epochs + 1):
        nats = right = 0.0
        for features, labels in _batches(rows, recipe.batch_size, rng):
            logs = layer.train(features, labels)
            nats += float(losses(logs, labels).sum())
            right += int((logs.argmax(axis=1) == labels).sum())
        count = len(rows.labels)
        yield Epoch(number, nats / count, right / count, layer.weights, layer.biases)


def _batches(
    rows: FeatureRows, size: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for positions, features in rows.blocks(rng):
        order = rng.permutation(len(positions))
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            yield features[chosen], rows.labels[positions[chosen]]


class _Layer:
    """Weights and biases with Adam's running moments. One thread's."""

    def __init__(self, dimension: int, class_weights: np.ndarray, rng: np.random.Generator) -> None:
        classes = len(class_weights)
        self._class_weights = class_weights
        limit = np.sqrt(6 / (dimension + classes))
        self.weights = rng.uniform(-limit, limit, (dimension, classes)).astype(np.float32)
        self.biases = np.zeros(classes, np.float32)
        self._parameters = (self.weights, self.biases)
        self._first = tuple(np.zeros_like(values) for values in self._parameters)
        self._second = tuple(np.zeros_like(values) for values in self._parameters)
        self._step = 0

    def train(self, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Take one step for a batch; return its log-probabilities before it, float64 (N, C)."""
        logs = log_softmax(features @ self.weights + self.biases)
        slopes = residuals(logs, labels, self._class_weights[labels] / len(labels))
        slopes = slopes.astype(np.float32)
        gradients = (features.T @ slopes, slopes.sum(axis=0))
        self._step += 1
        rate = np.float32(_RATE * np.sqrt(1 - _BETA_2**self._step) / (1 - _BETA_1**self._step))
        moments = zip(self._parameters, gradients, self._first, self._second, strict=True)
        for values, gradient, first, second in moments:
            first += (gradient - first) * np.float32(1 - _BETA_1)
            second += (gradient**2 - second) * np.float32(1 - _BETA_2)
            values -= rate * first / (np.sqrt(second) + np.float32(_EPSILON))
        return logs
