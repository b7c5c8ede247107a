"""A convolution split in one down and one across."""

import numpy as np
import pytest
from int8_samples import kernel

from engine.factorization.two_ways import columns, fit


def patches_of(count=900, inputs=6, size=(3, 3), seed=0):
    """Return what kernels read at positions, (count, KW, I KH), channels of unlike deviations."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((count, size[1], inputs * size[0])).astype(np.float32)
    return values * np.float32(1.2) ** -np.arange(inputs * size[0], dtype=np.float32)


def answers_of(weights, patches):
    """Return what a convolution without a bias answers, (N, O)."""
    outputs, across = weights.shape[0], weights.shape[3]
    w = columns(weights).reshape(-1, across, outputs)
    return np.einsum("nkc,cko->no", patches, w)


def split_answers(split, patches):
    between = np.einsum("nkc,rc->nkr", patches, split.narrow.reshape(len(split.narrow), -1))
    return np.einsum("nkr,ork->no", between, split.wide[:, :, 0]) + split.bias


def relative(got, expected):
    return np.square(got - expected).sum() / np.square(expected - expected.mean(axis=0)).sum()


@pytest.mark.parametrize("size", [(3, 3), (1, 3), (3, 1), (2, 5)])
def test_all_directions_are_the_convolution(size):
    weights, patches = kernel(5, 6, *size), patches_of(size=size)
    true = answers_of(weights, patches) + np.arange(5, dtype=np.float32)
    split = fit(weights, patches, true, min(6 * size[0], 5 * size[1]))
    assert split.narrow.shape[1:] == (6, size[0], 1)
    assert split.wide.shape[::2] == (5, 1)
    assert relative(split_answers(split, patches), true) < 1e-4


def test_fewer_directions_answer_others_nearly_as_well():
    weights, others = kernel(8, 6, 3, 3), patches_of(seed=7)
    true = answers_of(weights, patches_of())
    lost = [
        relative(
            split_answers(fit(weights, patches_of(), true, rank), others),
            answers_of(weights, others),
        )
        for rank in (4, 8, 12)
    ]
    assert lost[0] > lost[1] > lost[2]
    assert lost[2] < 0.1


def test_what_an_error_did_to_the_input_is_taken_back():
    """What is read is turned a little; the kernel across is fitted to the true answers."""
    rng = np.random.default_rng(3)
    weights, patches = kernel(8, 6, 3, 3), patches_of()
    turned = patches @ (np.eye(18) + 0.05 * rng.standard_normal((18, 18))).astype(np.float32)
    true = answers_of(weights, patches)
    knowing = relative(split_answers(fit(weights, turned, true, 14), turned), true)
    ignorant = fit(weights, turned, answers_of(weights, turned), 14)
    assert knowing < 0.9 * relative(split_answers(ignorant, turned), true)


def test_values_between_have_a_deviation_of_one_and_none_is_far_out():
    """Directions that answer to one row in fifty, as a network's do, are mixed with the others."""
    rng = np.random.default_rng(8)
    seldom = (rng.random((3000, 1, 1)) < 0.02) * rng.standard_normal((3000, 3, 18)) * 5
    patches = (rng.standard_normal((3000, 3, 18)) * 0.3 + seldom).astype(np.float32)
    weights = kernel(16, 6, 3, 3)
    split = fit(weights, patches, answers_of(weights, patches), 12)
    between = patches.reshape(-1, 18) @ split.narrow.reshape(12, -1).T
    np.testing.assert_allclose(between.std(axis=0), 1, rtol=1e-3)


def test_of_nothing_nothing_is_asked():
    weights = kernel(4, 6, 3, 3)
    split = fit(weights, np.zeros((40, 3, 18), np.float32), np.ones((40, 4), np.float32), 5)
    for each in (split.narrow, split.wide, split.bias):
        assert np.isfinite(each).all()
    np.testing.assert_allclose(split.bias, 1, rtol=1e-5)
