"""How int8 features are compared with fp32 ones."""

import json

import numpy as np
import pytest

from engine.precision.parity import Parity, first_percentile, measure_parity

RATES = (10.0, 35.0)


def clusters(counts, dimension=6, seed=0):
    """Return features around a point for each class, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = rng.uniform(2, 6, (len(counts), dimension))
    return (centres[labels] + rng.normal(0, 0.3, (len(labels), dimension))).astype(
        np.float32
    ), labels


def test_identical_features_lose_nothing():
    features, labels = clusters([8, 8])
    features[3] = 0
    found = measure_parity(features, features.copy(), labels, rates=RATES)
    assert (found.cosine_mean, found.cosine_p1, found.cosine_min) == (1.0, 1.0, 1.0)
    assert found.relative_error == 0.0
    assert found.head is not None
    assert (found.head.images, found.head.agreement) == (16, 1.0)
    assert found.head.fp32 == found.head.other
    assert (found.images, found.gain) == (16, 3.5)


def test_the_figures_of_a_case_made_by_hand():
    fp32 = np.array([[1, 0], [1, 1], [0, 2], [0, 0]], np.float32)
    int8 = np.array([[1, 1], [1, 1], [0, 1], [1, 0]], np.float32)
    found = measure_parity(fp32, int8, np.full(4, -1), rates=RATES)
    cosines = [np.sqrt(0.5), 1.0, 1.0, 0.0]
    assert found.cosine_mean == pytest.approx(np.mean(cosines))
    assert found.cosine_p1 == pytest.approx(np.percentile(cosines, 1))
    assert found.cosine_min == 0.0
    assert found.relative_error == pytest.approx(np.sqrt((1 + 1 + 1) / (1 + 2 + 4)))
    assert found.head is None


def test_vectors_of_zeros_are_alike_only_to_each_other():
    zeros, ones = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
    labels = np.array([-1, -1])
    assert measure_parity(zeros, zeros, labels, rates=RATES).cosine_min == 1.0
    assert measure_parity(zeros, zeros, labels, rates=RATES).relative_error == 0.0
    assert measure_parity(zeros, ones, labels, rates=RATES).cosine_mean == 0.0
    assert measure_parity(ones, zeros, labels, rates=RATES).cosine_mean == 0.0


def test_what_is_lost_shows():
    features, labels = clusters([30, 30])
    worse = features + np.random.default_rng(1).normal(0, 30, features.shape).astype(np.float32)
    found = measure_parity(features, worse, labels, rates=RATES)
    assert found.cosine_mean < 0.7
    assert found.head is not None
    assert found.head.other < found.head.fp32 == 1.0
    assert found.head.p_value < 0.001
    assert found.head.agreement < 0.9


@pytest.mark.parametrize("counts", [[8, 8], [8]])
def test_the_payload_is_json_and_comes_back(counts):
    features, labels = clusters(counts)
    parity = measure_parity(features, features + np.float32(0.1), labels, rates=RATES)
    payload = json.loads(json.dumps(parity.payload()))
    assert payload["gain"] == 3.5
    assert Parity.of_payload(payload) == parity
    with pytest.raises(KeyError):
        Parity.of_payload({})
    assert "\n" not in parity.summary()
    for figure in ("3.50 times as fast", f"{parity.cosine_mean:.4f} mean"):
        assert figure in parity.summary()
    assert ("heads agree on" in parity.summary()) == (len(counts) == 2)


@pytest.mark.parametrize("count", [1, 2, 16, 101, 128])
def test_the_first_percentile_is_numpys(count):
    values = np.random.default_rng(count).random(count)
    assert first_percentile(values) == pytest.approx(np.percentile(values, 1), rel=1e-12)
