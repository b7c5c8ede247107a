"""Products with standardised features, without a standardised copy."""

import tracemalloc

import numpy as np
import pytest

from engine.heads.standardised import Standardised


def features_of(mean, count=500, dimension=30):
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.1, 9, dimension)
    return (rng.standard_normal((count, dimension)) * spread + mean).astype(np.float32)


@pytest.mark.parametrize("mean", [0, 3, 5000])
@pytest.mark.parametrize("columns", [1, 4])
def test_products_are_those_of_a_standardised_copy(mean, columns):
    features = features_of(mean)
    standardised = Standardised(features)
    copy = (features.astype(np.float64) - standardised.centre) * standardised.scale
    np.testing.assert_allclose(copy.mean(axis=0), 0, atol=5e-2)
    np.testing.assert_allclose(copy.std(axis=0), 1, atol=1e-2)
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((30, columns)).astype(np.float32)
    slopes = rng.standard_normal((500, columns)).astype(np.float32)
    np.testing.assert_allclose(standardised.times(weights), copy @ weights, atol=2e-4)
    expected = copy.T @ slopes
    np.testing.assert_allclose(standardised.transposed_times(slopes), expected, atol=2e-3)


@pytest.mark.parametrize("mean", [0, 5000])
def test_weights_for_features_as_they_are_do_the_same(mean):
    features = features_of(mean)
    weights, biases = np.random.default_rng(2).standard_normal((30, 3)), np.arange(3.0)
    standardised = Standardised(features)
    expected = standardised.times(weights.astype(np.float32)) + biases
    scaled, moved = standardised.unfolded(weights, biases)
    np.testing.assert_allclose(features @ scaled + moved, expected, atol=2e-3)


@pytest.mark.parametrize("mean", [0, 5000])
def test_no_copy_is_made(mean):
    features = features_of(mean, count=20_000, dimension=200)
    weights = np.ones((200, 1), np.float32)
    tracemalloc.start()
    standardised = Standardised(features)
    standardised.transposed_times(standardised.times(weights).astype(np.float32))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < features.nbytes / 2
