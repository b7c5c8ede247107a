"""Whether features hold on images that are not there."""

from dataclasses import replace

import numpy as np
import pytest

from engine.precision.handover import ComparedFeatures
from engine.precision.margin import holds, is_settled, share_lost
from engine.precision.paired_heads import PairedHeads
from engine.precision.parity import Parity


def cosines(count, mean=0.008, spread=0.4, seed=0):
    """Return cosines of which about `mean` is lost, as networks lose it."""
    logs = np.random.default_rng(seed).standard_normal(count) * spread
    return 1 - mean * np.exp(logs - spread**2 / 2)


def features(lost):
    """Return features of two floats that lose so much of the cosine."""
    angles = np.arccos(1 - np.asarray(lost))
    true = np.tile([1.0, 0.0], (len(angles), 1))
    other = np.stack([np.cos(angles), np.sin(angles)], 1)
    return ComparedFeatures(true, other)


def parity(found, head=None):
    return Parity(len(found.fp32), 1, 1, 1, 0, head, 1.0, 2.0)


def test_what_is_lost_is_of_what_may_be():
    assert share_lost(np.full(10, 0.995), 0) == pytest.approx(0.5)
    one_out = np.array([*[0.999] * 9, 0.9])
    assert share_lost(one_out, 0) > 3
    assert share_lost(np.ones(16), 2) < 1e-6
    assert share_lost(np.full(1, 0.99), 2) == pytest.approx(1)


def test_few_images_say_less():
    few, many = cosines(16), cosines(2000)
    assert share_lost(few, 0) < share_lost(few, 1) < share_lost(few, 2)
    assert share_lost(few, 2) / share_lost(few, 0) > 1.1
    assert share_lost(many, 2) / share_lost(many, 0) < 1.05


@pytest.mark.parametrize(("mean", "spread"), [(0.0095, 0.3), (0.008, 0.55)])
def test_with_two_errors_it_is_seldom_below_what_many_images_say(mean, spread):
    """The first of these is near its mean's bound, the second near its percentile's."""
    true = share_lost(cosines(100_000, mean, spread), 0)
    said = [share_lost(cosines(64, mean, spread, seed), 2) for seed in range(300)]
    plain = [share_lost(cosines(64, mean, spread, seed), 0) for seed in range(300)]
    assert np.mean(np.array(said) < true) < 0.05
    assert np.mean(np.array(plain) < true) > 0.3


def test_features_hold_by_two_errors_or_are_asked_about_further():
    near, far = features(1 - cosines(64, 0.0095)), features(1 - cosines(64, 0.006))
    assert (holds(parity(near), near), is_settled(parity(near), near)) == (False, False)
    assert (holds(parity(far), far), is_settled(parity(far), far)) == (True, True)
    few = features(1 - cosines(32, 0.004))
    assert holds(parity(few), few)
    assert not is_settled(parity(few), few)
    lost = features(1 - cosines(16, 0.02))
    assert (holds(parity(lost), lost), is_settled(parity(lost), lost)) == (False, True)


def test_worse_heads_do_not_hold_and_doubtful_ones_are_asked_about_further():
    far = features(1 - cosines(64, 0.006))
    head = PairedHeads(64, 0.9, 0.95, 0.85, 0.01)
    assert not holds(parity(far, head), far)
    doubtful = replace(head, other=0.93, p_value=0.2)
    assert holds(parity(far, doubtful), far)
    assert not is_settled(parity(far, doubtful), far)
    assert is_settled(parity(far, replace(doubtful, p_value=0.5)), far)
