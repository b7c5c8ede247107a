"""Figures and their intervals, against scikit-learn and published examples."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from engine.heads.figures import figures, per_class, wilson_interval
from engine.heads.scores import Scores
from engine.heads.softmax import log_softmax, losses


def scores_of(classes, count=400, seed=0, skill=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    logits = rng.standard_normal((count, classes))
    logits[np.arange(count), labels] += skill
    logs = log_softmax(logits)
    return Scores(labels, np.exp(logs).astype(np.float32), losses(logs, labels))


def test_wilsons_interval():
    # Newcombe, Statistics in Medicine 17, 1998, table I: 81 of 263.
    low, high = wilson_interval(81 / 263, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson_interval(1, 10)[1] == pytest.approx(1)
    assert wilson_interval(0, 10)[0] == pytest.approx(0)


def test_recall_and_precision():
    first, second, third = per_class(np.array([[8, 2, 0], [4, 6, 0], [0, 0, 0]]))
    assert (first.images, first.recall.value, first.precision.value) == (10, 0.8, 8 / 12)
    assert (second.images, second.recall.value, second.precision.value) == (10, 0.6, 6 / 8)
    assert first.recall.interval == wilson_interval(0.8, 10)
    assert third.images == 0
    assert np.isnan(third.recall.value)
    assert third.precision.payload() == {"value": None, "interval": None}


@pytest.mark.parametrize("classes", [2, 5])
def test_the_values_are_scikit_learns(classes):
    scores = scores_of(classes)
    result = figures(scores)
    probabilities = scores.probabilities / scores.probabilities.sum(axis=1, keepdims=True)
    if classes == 2:
        auc = roc_auc_score(scores.labels, scores.probabilities[:, 1])
    else:
        auc = roc_auc_score(scores.labels, probabilities.astype(float), multi_class="ovr")
    assert result.roc_auc.value == pytest.approx(auc, abs=1e-5)
    balanced = balanced_accuracy_score(scores.labels, scores.predicted)
    assert result.balanced_accuracy.value == pytest.approx(balanced, abs=1e-6)
    assert result.loss.value == pytest.approx(scores.loss)
    assert result.accuracy.value == pytest.approx(scores.accuracy)
    assert result.baseline == np.bincount(scores.labels).max() / 400


@pytest.mark.parametrize("name", ["loss", "balanced_accuracy", "roc_auc"])
def test_intervals_hold_the_truth_nineteen_times_in_twenty(name):
    truth = getattr(figures(scores_of(2, 40_000, seed=99)), name).value
    held = 0
    for seed in range(40):
        low, high = getattr(figures(scores_of(2, 200, seed=seed)), name).interval
        assert 0 < high - low < 0.4
        held += low <= truth <= high
    assert held >= 33  # 38 are to be expected; fewer than 33 come once in 150 times


def test_the_same_scores_have_the_same_figures():
    assert figures(scores_of(3)) == figures(scores_of(3))


def test_one_class_on_the_test_side_has_no_area():
    scores = scores_of(2)
    alone = scores.labels == 0
    some = Scores(scores.labels[alone], scores.probabilities[alone], scores.nats[alone])
    payload = figures(some).payload(["a", "b"])
    assert payload["roc_auc"] == {"value": None, "interval": None}
    assert payload["per_class"]["b"]["images"] == 0
