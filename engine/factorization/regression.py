"""A layer's responses from fewer of its own: reduced-rank regression.

A layer of the split network reads what the layers before it made of the images, not what they
should have made. So its response there is regressed on the true one, which takes back what it can
of their errors (Zhang, Zou, He, Sun, Accelerating Very Deep Convolutional Networks for
Classification and Detection, 2015, section 2.3: asymmetric reconstruction). With x the responses
there and y the true ones, both centred, the best matrix of rank r is

    U_r U_r' C_yx C_xx^-1,        U_r the first eigenvectors of C_yx C_xx^-1 C_xy

(Izenman, Reduced-rank regression for the multivariate linear model, 1975).
"""

from dataclasses import dataclass

import numpy as np

# Added to the diagonal of the products, relative to its mean: towards the response as it is.
_HELD_BACK = 1e-3


@dataclass
class Moments:
    """Sums over positions of a layer's responses on approximated inputs, x, and true ones, y.

    All float64. count: positions. x, y: (C,). xx, yx: (C, C).
    """

    count: int
    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    yx: np.ndarray

    @classmethod
    def none(cls, channels: int) -> "Moments":
        """Return those of no positions."""
        square = (channels, channels)
        return cls(
            0,
            np.zeros(channels),
            np.zeros(channels),
            *(np.zeros(square) for _ in range(2)),
        )

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Take in responses, float32 (positions, C) each."""
        self.count += len(x)
        self.x += x.sum(axis=0, dtype=np.float64)
        self.y += y.sum(axis=0, dtype=np.float64)
        self.xx += x.T @ x
        self.yx += y.T @ x

    def centred(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the covariances of x with x, y with x."""
        x, y = self.x / self.count, self.y / self.count
        return (
            self.xx / self.count - np.outer(x, x),
            self.yx / self.count - np.outer(y, x),
        )


@dataclass(frozen=True)
class Mix:
    """y = wide (narrow' x) + shift, of rank r. narrow, wide: float64 (C, r); shift: (C,).

    The r values between share a scale where they are rounded to integers. So each has a deviation
    of one, and is a mixture of all directions: a single one has values far from its mean, which
    would make the steps of all coarse.
    """

    narrow: np.ndarray
    wide: np.ndarray
    shift: np.ndarray


def reduced_rank(moments: Moments, rank: int) -> Mix:
    """Return the mix of `rank` that gives y best from x."""
    xx, yx = moments.centred()
    held = _HELD_BACK * np.trace(xx) / len(xx) + 1e-12
    identity = held * np.eye(len(xx))
    full = np.linalg.solve(xx + identity, (yx + identity).T).T
    _, vectors = np.linalg.eigh(full @ xx @ full.T)
    # Seeded, for the same bits; any basis of the same directions gives the same y.
    turn = np.linalg.qr(np.random.default_rng(rank).standard_normal((rank, rank)))[0]
    wide = vectors[:, ::-1][:, :rank] @ turn
    narrow = full.T @ wide
    deviations = np.sqrt(np.maximum(np.einsum("ir,ij,jr->r", narrow, xx, narrow), 1e-12))
    narrow, wide = narrow / deviations, wide * deviations
    shift = (moments.y - wide @ (narrow.T @ moments.x)) / moments.count
    return Mix(narrow, wide, shift)
