"""A head's answers, and how sure they are beside how often they are right."""

import numpy as np
import pytest

from engine.heads.scores import Scores, calibration_error, confidence_bins


def scores_of(confidences, right):
    """Return scores of two classes with answers of these confidences, right or not."""
    sure = np.array(confidences, np.float32)
    probabilities = np.column_stack([sure, 1 - sure])
    labels = np.where(right, 0, 1)
    return Scores(labels, probabilities, np.zeros(len(labels)))


def test_bins_have_equal_counts():
    rng = np.random.default_rng(0)
    bins = confidence_bins(scores_of(rng.uniform(0.5, 1, 151), rng.random(151) < 0.7))
    assert len(bins) == 15
    assert {b.images for b in bins} == {10, 11}
    assert sum(b.images for b in bins) == 151
    assert [b.confidence for b in bins] == sorted(b.confidence for b in bins)


def test_calibration_error_is_the_mean_gap():
    bins = confidence_bins(scores_of([0.6, 0.9], [True, False]))
    assert [(b.images, b.accuracy) for b in bins] == [(1, 1), (1, 0)]
    assert calibration_error(bins) == pytest.approx((0.4 + 0.9) / 2, abs=1e-6)


def test_confusion_has_true_classes_in_rows():
    scores = scores_of([0.9, 0.8, 0.7], [True, False, True])
    assert scores.confusion.tolist() == [[2, 0], [1, 0]]
    assert scores.accuracy == pytest.approx(2 / 3)
