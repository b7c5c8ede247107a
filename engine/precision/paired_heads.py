"""Whether heads on other features of the same images are worse: each image left out once.

A hundred images and thousands of features are separated by any head that is not held back, so how
it does on images that it was fitted to says nothing, and half of them for a test are too few. Ridge
regression has the answer for each image left out in closed form. With the features of N images
centred, s and U the eigenvalues and -vectors of their N x N products, and l the strength,

    H = 1/N + U diag(s / (s + l)) U'        predictions H y of the fit to all images
    y_i - (y_i - (H y)_i) / (1 - H_ii)      that of image i by the fit to the others

(Golub, Heath, Wahba, Generalized cross-validation, Technometrics 1979).
"""

import math
from dataclasses import dataclass

import numpy as np

# Strengths that are tried, relative to the mean eigenvalue.
_STRENGTHS = 10.0 ** np.arange(-3, 3.5, 0.5)


@dataclass(frozen=True)
class PairedHeads:
    """Heads on fp32 features and on others, asked about the same images, each of them left out.

    images: how many. agreement: the share that both give the same class. fp32, other: the shares
    that are right. p_value: how likely so many more images are lost than won by other features
    that are as good (a sign test on the images that one of the heads alone gets right, one-sided).
    """

    images: int
    agreement: float
    fp32: float
    other: float
    p_value: float


def compare_heads(fp32: np.ndarray, other: np.ndarray, labels: np.ndarray) -> PairedHeads | None:
    """Compare heads on features, float32 (N, D) twice, of the same images in the same order.

    labels: int64 (N,), -1 for none. None where there are not two classes with two images each.
    """
    values, counts = np.unique(labels[labels >= 0], return_counts=True)
    classes = values[counts > 1]
    if len(classes) < 2:
        return None
    places = np.flatnonzero(np.isin(labels, classes))
    truth = np.searchsorted(classes, labels[places])
    guesses = [left_out_scores(f[places], truth).argmax(axis=1) for f in (fp32, other)]
    right = [guess == truth for guess in guesses]
    return PairedHeads(
        images=len(places),
        agreement=float((guesses[0] == guesses[1]).mean()),
        fp32=float(right[0].mean()),
        other=float(right[1].mean()),
        p_value=sign_test(int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())),
    )


def left_out_scores(features: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the score of each class for each image by a head fitted to the others, float64 (N, C).

    features: float32 (N, D). truth: int64 (N,), all of 0 to C - 1. The strength is the one with the
    least squared error over the images left out.
    """
    targets = np.where(truth[:, None] == np.arange(truth.max() + 1), 1.0, -1.0)
    centred = features.astype(np.float64)
    centred -= centred.mean(axis=0)
    eigenvalues, vectors = np.linalg.eigh(centred @ centred.T)
    eigenvalues = np.maximum(eigenvalues, 0.0)
    mean = targets.mean(axis=0)
    projected = vectors.T @ (targets - mean)
    best, least = targets, math.inf
    for strength in _STRENGTHS * (eigenvalues.mean() or 1.0):
        shrunk = eigenvalues / (eigenvalues + strength)
        leverage = 1 / len(truth) + vectors**2 @ shrunk
        residuals = targets - mean - vectors @ (shrunk[:, None] * projected)
        residuals /= np.maximum(1 - leverage, 1e-9)[:, None]
        error = float((residuals**2).sum())
        if error < least:
            best, least = targets - residuals, error
    return best


def sign_test(lost: int, won: int) -> float:
    """Return how likely at least `lost` of lost + won are lost where each is as likely as not."""
    trials = lost + won
    ways = sum(math.comb(trials, count) for count in range(lost, trials + 1))
    return float(ways / 2**trials)
