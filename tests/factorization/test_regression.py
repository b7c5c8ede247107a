"""Reduced-rank regression of true responses on those to approximated inputs."""

import numpy as np
import pytest

import engine.factorization.regression
from engine.factorization.regression import Moments, reduced_rank


def moments_of(x, y):
    moments = Moments.none(x.shape[1])
    for start in range(0, len(x), 50):
        moments.add(*(each[start : start + 50].astype(np.float32) for each in (x, y)))
    return moments


def spread(count=600, channels=6, seed=0):
    """Return rows whose channels have very different deviations, none about zero."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, channels)) * 2.0 ** -np.arange(channels) + 3


def off(mix, x, y):
    return np.square(x @ mix.narrow @ mix.wide.T + mix.shift - y).sum(axis=1).mean()


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_of_responses_to_themselves_the_first_principal_components_are_kept(rank, monkeypatch):
    monkeypatch.setattr(engine.factorization.regression, "_HELD_BACK", 0.0)
    x = spread() @ np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, bias=True))
    mix = reduced_rank(moments_of(x, x), rank)
    assert off(mix, x, x) == pytest.approx(eigenvalues[: 6 - rank].sum(), abs=2e-3)
    np.testing.assert_allclose(np.std(x @ mix.narrow, axis=0), 1, rtol=1e-3)


def test_what_an_error_did_to_the_responses_is_taken_back(monkeypatch):
    """x is y turned and shifted: all of it can be had again, at the rank that y has."""
    monkeypatch.setattr(engine.factorization.regression, "_HELD_BACK", 0.0)
    rng = np.random.default_rng(2)
    y = rng.standard_normal((800, 2)) @ rng.standard_normal((2, 6)) + 5
    x = y @ (np.eye(6) + 0.3 * rng.standard_normal((6, 6))) - 2
    x += 1e-3 * rng.standard_normal(x.shape)
    mix = reduced_rank(moments_of(x, y), 2)
    assert off(mix, x, y) < 1e-3 * y.var()


def test_the_best_of_a_rank_is_worse_without_knowing_the_error():
    rng = np.random.default_rng(3)
    y = spread(seed=4)
    x = y @ (np.eye(6) + 0.4 * rng.standard_normal((6, 6)))
    asymmetric = reduced_rank(moments_of(x, y), 4)
    ignorant = reduced_rank(moments_of(y, y), 4)
    assert off(asymmetric, x, y) < off(ignorant, x, y) / 2


def test_no_value_between_is_far_from_its_mean():
    """Directions that answer to one row in fifty, as a network's do, are mixed with the others."""
    rng = np.random.default_rng(8)
    y = rng.standard_normal((3000, 16)) * (rng.random((3000, 16)) < 0.02) * 1.3 ** -np.arange(16)
    mix = reduced_rank(moments_of(y, y), 16)
    between = y @ mix.narrow
    assert np.abs(between).max() < 0.75 * (np.abs(y) / y.std(axis=0)).max()


def test_of_responses_that_are_all_alike_nothing_is_asked():
    nothing = np.ones((60, 3))
    assert np.isfinite(reduced_rank(moments_of(nothing, nothing), 2).wide).all()
