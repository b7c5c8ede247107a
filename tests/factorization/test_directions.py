"""In how few directions responses lie."""

import numpy as np
import pytest

from engine.factorization.directions import Directions


def responses(count=600, channels=6, seed=0):
    """Return rows whose channels have very different deviations, none about zero."""
    values = np.random.default_rng(seed).standard_normal((count, channels))
    return (values * 2.0 ** -np.arange(channels) + 3).astype(np.float32)


def test_what_is_left_is_the_variance_of_the_other_directions():
    found = Directions.of(responses()).left(responses(seed=5))
    variances = 4.0 ** -np.arange(6)
    expected = variances.sum() - np.concatenate([[0], np.cumsum(variances)])
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert found[-1] == pytest.approx(0, abs=1e-3)
    nothing = np.ones((60, 4), np.float32)
    assert np.isfinite(Directions.of(nothing).left(nothing)).all()


@pytest.mark.parametrize("count", [12, 60])
def test_directions_of_few_rows_are_the_same_and_leave_more_of_others(count):
    """Twelve rows have eleven directions, which say nothing of the other twenty-nine."""
    rng = np.random.default_rng(6)
    mine, others = (rng.standard_normal((count, 40)).astype(np.float32) for _ in range(2))
    directions = Directions.of(mine)
    wide = np.cov(mine.T, bias=True)
    kept = min(count - 1, 40)
    top = np.linalg.eigvalsh(wide)[::-1][:5]
    along = np.einsum("ir,ij,jr->r", directions.vectors, wide, directions.vectors)[:5]
    np.testing.assert_allclose(along, top, rtol=1e-3)
    assert directions.left(mine)[kept] == pytest.approx(0, abs=1e-3)
    if count == 12:
        left = directions.left(others)
        assert left[-1] > 0.4 * left[0]


def test_without_its_last_directions_a_response_is_the_nearest_in_the_others():
    values = responses()
    directions = Directions.of(values)
    maps = values.reshape(30, 4, 5, 6).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(directions.without_last(maps, 6), maps, atol=1e-4)
    lost = ((directions.without_last(maps, 4) - maps) ** 2).sum(axis=1).mean()
    assert lost == pytest.approx(4.0**-4 + 4.0**-5, rel=0.2)
