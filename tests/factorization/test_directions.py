"""In how few directions responses lie."""

import numpy as np
import pytest

from engine.factorization.directions import Directions


def responses(images=30, channels=6, seed=0):
    """Return responses whose channels have very different deviations, none about zero."""
    values = np.random.default_rng(seed).standard_normal((images, channels, 20))
    return (values * 2.0 ** -np.arange(channels)[:, None] + 3).astype(np.float32)


def test_energies_are_shares_of_the_variance():
    found = Directions.of(responses()).energies(responses(seed=5))
    variances = 4.0 ** -np.arange(6)
    np.testing.assert_allclose(found, np.cumsum(variances) / variances.sum(), atol=0.05)
    assert found[-1] == pytest.approx(1)
    nothing = np.ones((3, 4, 20), np.float32)
    assert np.isfinite(Directions.of(nothing).energies(nothing)).all()


def test_directions_that_few_images_show_keep_less_of_others():
    """Twelve rows have eleven directions, which say nothing of the other twenty-nine."""
    few, others = np.random.default_rng(6).standard_normal((2, 12, 40, 1)).astype(np.float32)
    directions = Directions.of(few)
    assert directions.energies(few)[11] == pytest.approx(1)
    assert directions.energies(others)[11] < 0.6


def test_without_its_last_directions_a_response_is_the_nearest_in_the_others():
    values = responses()
    directions = Directions.of(values)
    maps = values.reshape(30, 6, 4, 5)
    np.testing.assert_allclose(directions.without_last(maps, 6), maps, atol=1e-4)
    lost = ((directions.without_last(maps, 4) - maps) ** 2).sum(axis=1).mean()
    assert lost == pytest.approx(4.0**-4 + 4.0**-5, rel=0.2)
