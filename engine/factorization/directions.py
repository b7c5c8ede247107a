"""In how few directions a layer's responses lie."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Directions:
    """Of responses. mean: float32 (C,). vectors: float32 (C, K), columns, the most variance first.

    K: as many as there are channels, or responses if those are fewer.
    """

    mean: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "Directions":
        """Return those of responses, float32 (N, C)."""
        mean = values.mean(axis=0)
        centred = values - mean
        if len(values) >= values.shape[1]:
            return cls(mean, np.linalg.eigh(centred.T @ centred)[1][:, ::-1])
        # The same of the smaller matrix.
        variances, weights = np.linalg.eigh(centred @ centred.T)
        vectors = centred.T @ weights[:, ::-1]
        lengths = np.linalg.norm(vectors, axis=0)
        there = variances[::-1] > 1e-6 * max(float(variances[-1]), 1e-30)
        return cls(mean, vectors[:, there] / np.maximum(lengths[there], 1e-30))

    def left(self, values: np.ndarray) -> np.ndarray:
        """Return the variance of responses that is not in the first r directions, float64 (K + 1,).

        values: float32 (N, C), of images that the directions are not of. A late layer answers to
        what few images show: of its own images a few directions have nearly all, of other images
        they have much less.
        """
        centred = values - values.mean(axis=0)
        total = float(np.square(centred, dtype=np.float64).sum()) / len(values)
        each = np.square(centred @ self.vectors, dtype=np.float64).sum(axis=0) / len(values)
        return np.maximum(total - np.concatenate([[0.0], np.cumsum(each)]), 0.0)

    def without_last(self, values: np.ndarray, rank: int) -> np.ndarray:
        """Return responses, float32 (N, C, H, W), in the first directions alone."""
        first = self.vectors[:, :rank]
        matrix = first @ first.T
        shift = self.mean - first @ (first.T @ self.mean)
        return np.stack(
            [np.tensordot(matrix, one, axes=1) + shift[:, None, None] for one in values]
        )
