"""Heads on features of two precisions, asked about the same images, each left out once."""

import numpy as np
import pytest
from scipy.stats import binomtest

import engine.precision.paired_heads
from engine.precision.paired_heads import (
    PairedHeads,
    compare_heads,
    left_out_scores,
    sign_test,
)


def clusters(count, dimension, distance, seed=0):
    """Return features of two classes whose middles are so far apart, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    features = rng.standard_normal((count, dimension))
    features[:, 0] += distance * labels
    return features.astype(np.float32), labels


@pytest.mark.parametrize("dimension", [3, 40])
@pytest.mark.parametrize("classes", [2, 3])
def test_each_image_is_scored_by_a_head_of_the_others(dimension, classes, monkeypatch):
    """One strength, against ridge regression fitted anew without each image."""
    features = np.random.default_rng(1).normal(5, 2, (24, dimension)).astype(np.float32)
    truth = np.arange(24) % classes
    monkeypatch.setattr(engine.precision.paired_heads, "_STRENGTHS", np.array([0.3]))
    found = left_out_scores(features, truth)

    centred = features.astype(np.float64) - features.astype(np.float64).mean(axis=0)
    strength = 0.3 * np.square(centred).sum() / 24
    targets = np.where(truth[:, None] == np.arange(classes), 1.0, -1.0)
    for image in range(24):
        others = np.delete(np.arange(24), image)
        mean, target = features[others].mean(axis=0), targets[others].mean(axis=0)
        rows = features[others].astype(np.float64) - mean
        products = rows.T @ rows + strength * np.eye(dimension)
        weights = np.linalg.solve(products, rows.T @ (targets[others] - target))
        expected = target + (features[image] - mean) @ weights
        np.testing.assert_allclose(found[image], expected, atol=1e-5)


def test_the_strength_is_the_one_that_is_best_on_images_left_out():
    """Of 400 floats two classes differ in one: a head that is hardly held back is a coin's."""
    features, truth = clusters(120, 400, 6)
    right = (left_out_scores(features, truth).argmax(axis=1) == truth).mean()
    assert right > 0.8


def test_noise_is_not_learnt_by_heart():
    features = np.random.default_rng(2).standard_normal((200, 300)).astype(np.float32)
    labels = np.random.default_rng(3).integers(0, 2, 200)
    found = compare_heads(features, features, labels)
    assert 0.35 < found.fp32 < 0.65


@pytest.mark.parametrize(
    ("labels", "images"),
    [
        ([-1] * 8, None),
        ([0] * 8, None),
        ([0, 1, 2, 3, 4, 5, 6, 7], None),
        ([0, 0, 0, 0, 0, 0, 0, 1], None),
        ([0, 0, 0, 0, 1, 1, 2, -1], 6),
        ([5, 5, 9, 9, -1, -1, -1, -1], 4),
    ],
)
def test_heads_need_two_classes_with_two_images_each(labels, images):
    features, _ = clusters(8, 6, 3)
    found = compare_heads(features, features, np.array(labels))
    assert (found and found.images) == images


def test_what_two_heads_say_is_counted_over_the_labelled(monkeypatch):
    labels = np.array([3, 3, 7, 7, -1, 3, 7, 9])
    fp32, other = np.zeros((8, 2), np.float32), np.ones((8, 2), np.float32)

    def scores(features, truth):
        assert truth.tolist() == [0, 0, 1, 1, 0, 1]
        guesses = [0, 0, 1, 0, 0, 1] if not features.any() else [0, 1, 1, 0, 1, 1]
        return np.eye(2)[guesses]

    monkeypatch.setattr(engine.precision.paired_heads, "left_out_scores", scores)
    expected = PairedHeads(images=6, agreement=4 / 6, fp32=5 / 6, other=3 / 6, p_value=0.25)
    assert compare_heads(fp32, other, labels) == expected


def test_features_that_lost_the_classes_are_found_out_and_equal_ones_are_not():
    good, labels = clusters(128, 30, 5)
    noise, _ = clusters(128, 30, 0, seed=1)
    worse = compare_heads(good, noise, labels)
    assert worse.fp32 - worse.other > 0.3
    assert worse.p_value < 1e-6
    same = compare_heads(good, good, labels)
    assert (same.agreement, same.p_value, same.fp32) == (1.0, 1.0, same.other)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (0, 5), (3, 0), (7, 2), (20, 31)])
def test_the_sign_test(lost, won):
    expected = binomtest(lost, lost + won, alternative="greater").pvalue if lost + won else 1.0
    assert sign_test(lost, won) == pytest.approx(expected)


def test_features_that_are_all_the_same_give_no_error():
    same = np.ones((12, 5), np.float32)
    assert np.isfinite(left_out_scores(same, np.arange(12) % 2)).all()
