"""Whether more images would change what a head can do: the paired rule."""

import numpy as np
import pytest

from engine.heads.steadiness import Steadiness, is_steady, looks, measure_steadiness


def problem(count, dimension, distance, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    features = rng.standard_normal((count, dimension))
    features[:, 0] += distance * (labels - 0.5)
    return features.astype(np.float32), labels


def test_images_that_are_told_apart_at_once_are_steady():
    measured = measure_steadiness(*problem(200, 10, 12.0), 2)
    assert measured.accuracy == 1.0
    assert measured.gain == 0.0
    assert is_steady([measured] * 3, 0.5)


def test_what_still_learns_is_not_steady():
    """Many features, few of them of use: each doubling of the images gains points."""
    features, labels = problem(200, 400, 3.0)
    measured = measure_steadiness(features, labels, 2)
    assert 0.6 < measured.accuracy < 0.95
    assert measured.interval[0] < measured.accuracy < measured.interval[1]
    assert measured.gain > 0.005
    assert not is_steady([measured] * 3, 0.5)
    assert is_steady([measured] * 3, 100)


def look(loss_gain):
    return Steadiness(200, 0.97, (0.94, 0.99), 0.1, 0.0, loss_gain)


def test_the_last_three_looks_decide_together():
    """By the loss: accuracy, which moves by whole images, gained nothing in any of them."""
    assert not is_steady([], 0.5)
    assert not is_steady([look(0.0)] * 2, 0.5)
    assert is_steady([look(0.1), look(0.01), look(0.015), look(0.019)], 0.5)
    assert not is_steady([look(0.0), look(0.01), look(0.015), look(0.021)], 0.5)
    assert not is_steady([look(0.019), look(0.01), look(0.01)], 0.4)


def test_looks_are_further_apart_the_more_images_there_are():
    assert list(looks(1000, 2, 0.5)) == [200, 267, 356, 474, 632, 843, 1000]
    assert list(looks(150, 2, 0.5)) == [150]
    assert next(looks(5000, 60, 0.5)) == 600
    assert next(looks(5000, 2, 0.1)) == 1000


def test_the_same_images_give_the_same_answer():
    features, labels = problem(120, 30, 2.0)
    assert measure_steadiness(features, labels, 2) == measure_steadiness(features, labels, 2)


@pytest.mark.parametrize("few", [0, 1, 9])
def test_a_class_with_too_few_images_says_nothing(few):
    features, labels = problem(100, 5, 1.0)
    labels[:] = 0
    labels[:few] = 1
    assert measure_steadiness(features, labels, 2) is None
