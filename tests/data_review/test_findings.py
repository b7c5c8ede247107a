"""What a review finds: planted wrong labels, copies, conflicts, odd ones."""

import numpy as np
import pytest
from cache_samples import DESCRIPTION
from data_review_samples import COUNT, planted

from cache.failures import Failure
from cache.store import FeatureCache
from engine.data_review import findings as module
from engine.data_review.findings import review
from engine.heads.open_features import open_features


def test_planted_labels_come_first(tmp_path):
    wrong = set(range(10, 130, 11))
    findings = review(open_features(planted(tmp_path, wrong)))
    first = [findings.features.paths[image] for image in findings.suspects[: len(wrong)]]
    assert set(first) == {f"{number}.jpg" for number in wrong}
    payload = findings.payload()
    assert payload["labels"][0]["path"] == first[0]
    assert payload["labels"][0]["label"] != payload["labels"][0]["suggested"]
    assert payload["labels"][0]["score"] > 0.5
    assert payload["rejected"] == [{"path": "broken.jpg", "reason": "the file is empty"}]


def test_no_suspected_label_is_left_uncounted(tmp_path, monkeypatch):
    """Where the features say nothing of the labels, half of them are suspected."""
    monkeypatch.setattr(module, "_MOST", 30)
    drawn = np.random.default_rng(0).random(COUNT) < 0.5
    findings = review(open_features(planted(tmp_path, wrong=set(np.flatnonzero(drawn).tolist()))))
    wrong = findings.suggested != findings.features.y
    assert len(findings.suspects) == wrong.sum() > 30
    assert len(findings.payload()["labels"]) == wrong.sum()
    falling = findings.suspicion[findings.suspects]
    assert (np.diff(falling) <= 0).all()


def test_copies_are_paired_and_share_a_fold(tmp_path):
    """A copy with a flipped label would vouch for the label of the other if it trained its head."""
    findings = review(open_features(planted(tmp_path, wrong={101, 299}, copies=6)))
    pairs = {
        frozenset(findings.features.paths[image] for image in pair)
        for pair in findings.pairs.images
    }
    assert pairs == {frozenset({f"{101 - n}.jpg", f"{299 - n}.jpg"}) for n in range(6)}
    assert {"101.jpg", "299.jpg"} <= {
        findings.features.paths[image] for image in findings.suspects[:4]
    }


def test_pairs_on_two_sides_come_first(tmp_path):
    splits = ["train"] * COUNT
    splits[299] = "test"
    splits[50:60] = ["test"] * 10
    splits[70:80] = ["validation"] * 10
    splits[99] = "test"
    findings = review(open_features(planted(tmp_path, copies=4, splits=splits)))
    sides = [entry["sides"] for entry in findings.payload()["duplicates"]]
    assert [len(set(pair)) for pair in sides] == [2, 2, 1, 1]


def test_an_image_like_no_other_is_odd(tmp_path):
    space = planted(tmp_path)
    features = open_features(space)
    findings = review(features)
    centred = features.X - features.X.sum(axis=0) / (len(features) + 16)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1)
    assert findings.outliers[0] == cosines.max(axis=1).argmin()
    np.testing.assert_allclose(findings.pairs.nearest, cosines.max(axis=1), atol=1e-5)


def test_one_class_is_reviewed_for_all_but_labels(tmp_path, caplog):
    findings = review(open_features(planted(tmp_path, copies=3, labels=("cat", "cat"))))
    assert len(findings.suspects) == len(findings.uncertain) == 0
    assert len(findings.pairs.images) == 3
    assert "no label can be checked" in caplog.text


def test_nothing_to_review_is_one_line(tmp_path):
    space = FeatureCache.create(tmp_path).add_space(DESCRIPTION, 64)
    with pytest.raises(Failure, match="no image to review"):
        review(open_features(space))
