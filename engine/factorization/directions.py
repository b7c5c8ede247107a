"""In how few directions a layer's responses lie."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Directions:
    """Of responses. mean: float64 (C,). vectors: float64 (C, C), columns, the most energy first."""

    mean: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "Directions":
        """Return those of responses, float32 (N, C, positions)."""
        mean, covariance = _covariance(values)
        return cls(mean, np.linalg.eigh(covariance)[1][:, ::-1])

    def energies(self, values: np.ndarray) -> np.ndarray:
        """Return the share of the variance of other responses in the first r directions, (C,).

        values: float32 (N, C, positions), of images that the directions are not of. A late layer
        answers to what few images show: of its own images a few directions have nearly all, of
        other images they have much less.
        """
        _, covariance = _covariance(values)
        variances = np.einsum("ir,ir->r", self.vectors, covariance @ self.vectors)
        variances = np.maximum(variances, 0)
        return np.asarray(np.cumsum(variances) / max(variances.sum(), 1e-30))

    def without_last(self, values: np.ndarray, rank: int) -> np.ndarray:
        """Return responses, float32 (N, C, H, W), in the first directions alone."""
        first = self.vectors[:, :rank]
        matrix = (first @ first.T).astype(np.float32)
        shift = (self.mean - first @ (first.T @ self.mean)).astype(np.float32)
        return np.stack(
            [np.tensordot(matrix, one, axes=1) + shift[:, None, None] for one in values]
        )


def _covariance(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the covariance of responses, float32 (N, C, positions)."""
    count = values.shape[0] * values.shape[2]
    mean = values.sum(axis=(0, 2), dtype=np.float64) / count
    products = np.zeros((values.shape[1],) * 2)
    for one in values:
        products += one @ one.T
    return mean, products / count - np.outer(mean, mean)
