"""Products on all cores."""

import numpy as np
import pytest

import engine.factorization.products
from engine.factorization.products import rows_times, transposed_times


@pytest.fixture(params=[1, 3, 40])
def matrices(request):
    rng = np.random.default_rng(request.param)
    left = rng.standard_normal((request.param, 5)).astype(np.float32)
    return left, rng.standard_normal((request.param, 4)).astype(np.float32)


def test_they_are_numpy_s(matrices):
    left, right = matrices
    np.testing.assert_allclose(transposed_times(left, right), left.T @ right, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rows_times(left, left.T), left @ left.T, rtol=1e-4, atol=1e-5)


def test_they_have_the_same_bits_on_any_number_of_cores(matrices, monkeypatch):
    left, right = matrices
    monkeypatch.setattr(engine.factorization.products, "available_cores", lambda: 1)
    first = rows_times(left, left.T), transposed_times(left, right)
    monkeypatch.setattr(engine.factorization.products, "available_cores", lambda: 7)
    for one, other in zip(
        first, (rows_times(left, left.T), transposed_times(left, right)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
