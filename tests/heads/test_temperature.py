"""Temperature scaling."""

import numpy as np
import pytest

from engine.heads.head import Head
from engine.heads.rows import LoadedRows
from engine.heads.softmax import log_softmax, losses
from engine.heads.temperature import scaled_where_it_helps, temperature


def logits_of(scale, count=2000, seed=0):
    """Return logits that are `scale` times as sure as they ought to be, and labels."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((count, 3)) * 2
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return (logits * scale).astype(np.float32), labels


@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0])
def test_the_temperature_undoes_a_scale(scale):
    logits, labels = logits_of(scale)
    value = temperature(logits, labels)
    assert value == pytest.approx(scale, rel=0.1)
    best = losses(log_softmax(logits / value), labels).mean() - 1e-6
    for other in (value * 0.95, value * 1.05):
        assert losses(log_softmax(logits / other), labels).mean() > best


@pytest.mark.parametrize("count", [20, 200, 2000])
def test_answers_without_a_mistake_make_a_head_no_surer_than_they_prove(count):
    labels = np.arange(count) % 3
    logits = np.eye(3, dtype=np.float32)[labels] * 2
    sure = np.exp(log_softmax(logits / temperature(logits, labels))).max(axis=1)
    assert 1 - 1 / count < sure.mean() < 1 - 0.5 / count


def head_of(factor):
    return Head(
        np.eye(3, dtype=np.float32) * np.float32(factor),
        np.zeros(3, np.float32),
        ("a", "b", "c"),
        "s",
    )


def test_a_head_is_scaled_where_it_helps():
    features, labels = logits_of(1)
    head, value = scaled_where_it_helps(head_of(3), LoadedRows(features, labels))
    assert value == pytest.approx(3, rel=0.1)
    np.testing.assert_allclose(head.weights, head_of(3).weights / value, rtol=1e-6)


def test_a_head_stays_where_it_does_not():
    features, labels = logits_of(1, count=60, seed=3)
    plain = head_of(1)
    head, value = scaled_where_it_helps(plain, LoadedRows(features[:1], labels[:1]))
    assert (head, value) == (plain, 1.0)
