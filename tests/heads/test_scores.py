"""Intervals, figures by class, calibration."""

import numpy as np
import pytest

from engine.heads.scores import (
    Scores,
    calibration_error,
    confidence_bins,
    per_class,
    wilson_interval,
)


def test_wilsons_interval():
    # Newcombe, Statistics in Medicine 17, 1998, table I: 81 of 263.
    low, high = wilson_interval(81 / 263, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson_interval(1, 10)[1] == pytest.approx(1)
    assert wilson_interval(0, 10)[0] == pytest.approx(0)


def test_recall_and_precision():
    first, second, third = per_class(np.array([[8, 2, 0], [4, 6, 0], [0, 0, 0]]))
    assert (first.images, first.recall, first.precision) == (10, 0.8, 8 / 12)
    assert (second.images, second.recall, second.precision) == (10, 0.6, 6 / 8)
    assert third.images == 0
    assert np.isnan(third.recall)
    assert np.isnan(third.precision)


def scores_of(confidences, right, classes=2):
    labels = np.zeros(len(right), int)
    predicted = np.where(right, 0, 1)
    return Scores(
        labels, predicted, np.array(confidences, np.float32), np.zeros(len(right)), classes
    )


def test_bins_of_confidence():
    bins = confidence_bins(scores_of([0.5, 0.52, 0.97, 1.0], [True, False, True, True]))
    assert len(bins) == 10
    assert (bins[0].low, bins[-1].high) == (0.5, 1.0)
    assert [b.images for b in bins] == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert bins[0].accuracy == 0.5
    assert bins[0].confidence == pytest.approx(0.51)
    assert calibration_error(bins) == pytest.approx((0.01 * 2 + 0.015 * 2) / 4, abs=1e-6)
    assert confidence_bins(scores_of([0.2], [True], classes=9))[0].low == 0
