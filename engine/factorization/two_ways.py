"""A convolution as one down and one across: fitted to what it should have answered.

A kernel of KH x KW positions is split into one of KH x 1 that gives r channels, and one of 1 x KW
over them (Jaderberg, Vedaldi, Zisserman, Speeding up convolutional neural networks with low rank
expansions, 2014). Let p be what lies in a column of KH positions, W all columns of the kernel side
by side, (I KH) x (KW O), and u = W'p. Of all kernels down of r channels W Q keeps the most of u's
variance, Q the first r principal directions of u.

A layer of the split network reads what the layers before it made of the images, not what they
should have made. So u is what lies there, and the kernel across is corrected by the regression of
what is left of the true answers on what the kernel down gives there (Zhang, Zou, He, Sun,
Accelerating Very Deep Convolutional Networks for Classification and Detection, 2015, section 2.3:
asymmetric reconstruction).
"""

import numpy as np

from engine.factorization.convolutions import Split
from engine.factorization.products import rows_times, transposed_times

# Added to the diagonal of the products, relative to its mean: towards the kernel across as it is.
_HELD_BACK = 1e-2

# Rows of which one counts for the directions; steps of the iteration that finds them.
_EACH, _STEPS = 3, 3

# Directions that are iterated beside those that are wanted.
_MORE = 16


def columns(kernel: np.ndarray) -> np.ndarray:
    """Return a kernel, float32 (O, I, KH, KW), as W: float32 (I KH, KW O)."""
    outputs, inputs, down, across = kernel.shape
    return kernel.transpose(1, 2, 3, 0).reshape(inputs * down, across * outputs)


def fit(kernel: np.ndarray, patches: np.ndarray, answers: np.ndarray, rank: int) -> Split:
    """Return the split of a convolution to a rank.

    kernel: float32 (O, I, KH, KW). patches: what it reads at some positions, float32
    (N, KW, I KH). answers: what it should answer there, float32 (N, O).
    """
    outputs, inputs, down, across = kernel.shape
    middle = patches[::_EACH, across // 2]
    first = _first_directions(rows_times(middle, columns(kernel)), rank)
    # Any basis of the same directions gives the same answers. Rounded to integers the values
    # between share a scale, so each is a mixture of all, of a deviation of one: a principal one
    # has values far from its mean, which would make the steps of all coarse.
    turn = np.linalg.qr(np.random.default_rng(rank).standard_normal((rank, rank)))[0]
    first = (first @ turn).astype(np.float32)
    narrow = columns(kernel) @ first
    between = rows_times(patches.reshape(-1, inputs * down), narrow)
    deviations = np.maximum(between.std(axis=0), 1e-6)
    between /= deviations
    rows = between.reshape(len(patches), across * rank)
    # (KW O, r) -> (KW r, O)
    wide = (first * deviations).reshape(across, outputs, rank).transpose(0, 2, 1)
    wide = wide.reshape(across * rank, outputs)
    wide = wide + _correction(rows, answers - rows_times(rows, wide))
    bias = answers.mean(axis=0, dtype=np.float64) - rows.mean(axis=0, dtype=np.float64) @ wide
    return Split(
        narrow=(narrow / deviations).T.reshape(rank, inputs, down, 1),
        wide=wide.reshape(across, rank, outputs).transpose(2, 1, 0)[:, :, None, :],
        bias=bias.astype(np.float32),
    )


def _first_directions(values: np.ndarray, count: int) -> np.ndarray:
    """Return the first principal directions of rows, float64 (C, count), by subspace iteration."""
    centred = values - values.mean(axis=0)
    covariance = transposed_times(centred, centred)
    wanted = min(count + _MORE, len(covariance))
    start = np.random.default_rng(count).standard_normal((len(covariance), wanted))
    basis = start.astype(np.float32)
    for _ in range(_STEPS):
        basis = np.linalg.qr(rows_times(covariance, basis))[0]
    within = transposed_times(basis, rows_times(covariance, basis))
    _, turn = np.linalg.eigh(within.astype(np.float64))
    return np.asarray(basis @ turn[:, ::-1][:, :count])


def _correction(rows: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Return what to add to the kernel across for what it leaves, float32 (KW r, O)."""
    x, y = rows - rows.mean(axis=0), left - left.mean(axis=0)
    products = transposed_times(x, x).astype(np.float64)
    held = _HELD_BACK * np.trace(products) / len(products) + 1e-12
    products[np.diag_indices_from(products)] += held
    mixed = transposed_times(x, y).astype(np.float64)
    return np.asarray(np.linalg.solve(products, mixed), np.float32)
