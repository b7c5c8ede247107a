"""Features as if each had mean 0 and variance 1, without a copy of them."""

from collections.abc import Iterator

import numpy as np

from cache.failures import Failure

# A feature that varies less than this, relative to its size, is constant but for rounding.
_CONSTANT = 1e-6

# Rows whose squares are added in float32 before they go into a float64 sum.
_SUMMED = 256

# How many deviations the features' means may be away from 0 (root mean square) for the centre to
# be taken off a product instead of off the features: rounding grows by as much.
_NEAR = 4.0

# Bytes of features that are centred at a time otherwise.
_BLOCK_BYTES = 4 * 2**20


class Standardised:
    """Z = (X - centre) * scale for features X float32 (N, D), which it refers to.

    centre, scale: float32 (D,), from other features of the same kind, or None to take them from
    these. The scale of a constant feature is 0.

    Raises:
        Failure: the features are too large for float32 arithmetic.
    """

    def __init__(
        self,
        features: np.ndarray,
        standardisation: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self._features = features
        self.centre, self.scale = standardisation or _standardisation(features)
        away = self.centre.astype(np.float64) * self.scale
        self._near = float(np.sqrt(np.mean(away**2))) <= _NEAR

    def __len__(self) -> int:
        """Return N."""
        return len(self._features)

    @property
    def dimension(self) -> int:
        """D, the floats of a feature."""
        return int(self._features.shape[1])

    def times(self, weights: np.ndarray) -> np.ndarray:
        """Return Z @ weights, float64 (N, C), for weights float32 (D, C)."""
        if self._near:
            scaled = self.scale[:, None] * weights
            product = _product(self._features, scaled).astype(np.float64)
            product -= self.centre.astype(np.float64) @ scaled
            return np.asarray(product)
        product = np.empty((len(self), weights.shape[1]))
        for rows, centred in self._centred():
            product[rows] = _product(centred, weights)
        return product

    def transposed_times(self, slopes: np.ndarray) -> np.ndarray:
        """Return Z.T @ slopes, float64 (D, C), for slopes float32 (N, C)."""
        if self._near:
            product = _product(self._features.T, slopes).astype(np.float64)
            product -= np.outer(self.centre, slopes.sum(axis=0, dtype=np.float64))
            product *= self.scale[:, None]
            return np.asarray(product)
        product = np.zeros((self.dimension, slopes.shape[1]))
        for rows, centred in self._centred():
            product += _product(centred.T, slopes[rows])
        return product

    def unfolded(self, weights: np.ndarray, biases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (D, C) and biases (C,) for X that do what the given ones do for Z."""
        # softmax(((x - centre) * scale) W + b) = softmax(x (scale W) + b - centre (scale W))
        scaled = self.scale[:, None] * weights
        return scaled, biases - self.centre @ scaled

    def _centred(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield (which rows, these of Z): overwritten by the next."""
        size = max(1, _BLOCK_BYTES // (4 * self.dimension))
        buffer = np.empty((min(size, len(self)), self.dimension), np.float32)
        for start in range(0, len(self), size):
            features = self._features[start : start + size]
            centred = buffer[: len(features)]
            np.subtract(features, self.centre, out=centred)
            np.multiply(centred, self.scale, out=centred)
            yield slice(start, start + len(features)), centred


def _standardisation(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return centre and scale of features, see Standardised.

    Both to float32's accuracy, which is enough: folded back, they cancel exactly.
    """
    count = len(features)
    centre = features.mean(axis=0, dtype=np.float32)
    first, second = np.zeros(len(centre)), np.zeros(len(centre))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, count, _SUMMED):
            block = features[start : start + _SUMMED] - centre
            first += block.sum(axis=0)
            second += np.einsum("ij,ij->j", block, block)
        deviation = np.sqrt(np.maximum(second / count - (first / count) ** 2, 0))
    if not np.isfinite(deviation).all():
        raise Failure(
            "features beyond 1e18 are too large to train on; the backbone's weights or "
            "preprocessing do not fit, so extract with others"
        )
    varies = deviation > _CONSTANT * np.abs(centre)
    scale = np.zeros_like(deviation)
    np.divide(1, deviation, out=scale, where=varies)
    return centre, scale.astype(np.float32)


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return left @ right, by the matrix-vector product where right has one column.

    OpenBLAS takes a third of the time for it.
    """
    if right.shape[1] == 1:
        right = np.ascontiguousarray(right[:, 0])
        return np.asarray(left @ right)[:, None]
    return np.asarray(left @ np.ascontiguousarray(right))
