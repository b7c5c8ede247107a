"""A head with its backbone in Python: the answers of the command."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import is_classifier
from sklearn.metrics import get_scorer

from cache.failures import Failure
from engine import fit_head, predict
from engine.estimators.classifier import load_classifier


@pytest.fixture
def head(backbone, pictures, tmp_path):
    fit = backbone.extract(pictures).fit_head(seed=0)
    assert fit.save(tmp_path / "head") == tmp_path / "head"
    return tmp_path / "head"


def test_a_saved_head_serves_the_command_and_the_other_way(backbone, paths, head, capsys, tmp_path):
    classifier = load_classifier(head)
    assert classifier.classes == ("spots", "stripes")
    probabilities = classifier.predict_proba(paths)
    assert probabilities.dtype == np.float32
    assert predict.main([*paths, "--head", str(head), "--json", "--quiet"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [list(answer["probabilities"].values()) for answer in answers] == probabilities.tolist()
    assert classifier.predict(paths).tolist() == [answer["label"] for answer in answers]
    other = tmp_path / "other"
    arguments = ["--cache", str(backbone.cache), "--out", str(other), "--quiet", "--no-report"]
    assert fit_head.main(arguments) == 0
    assert (other / "head.npz").read_bytes() == (head / "head.npz").read_bytes()
    np.testing.assert_array_equal(load_classifier(other).predict_proba(paths), probabilities)


def test_any_kind_of_image_in_any_order(head, paths):
    classifier = load_classifier(head)
    with Image.open(paths[0]) as picture:
        pixels = np.asarray(picture)
    images = [pixels, paths[1], Image.fromarray(pixels), paths[1]]
    probabilities = classifier.predict_proba(images)
    np.testing.assert_array_equal(probabilities[0], probabilities[2])
    np.testing.assert_array_equal(probabilities[1], probabilities[3])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def test_what_cannot_be_classified_is_named_or_nan(head, paths):
    with pytest.raises(Failure, match=r"image 1, bytes .*, cannot be .*: the file is empty"):
        load_classifier(head).predict([paths[0], b""])
    lenient = load_classifier(head, on_error="nan")
    assert np.isnan(lenient.predict_proba([paths[0], b""])[1]).all()
    assert lenient.predict([paths[0], b""]).tolist() == ["spots", ""]


def test_scikit_learn_takes_it_for_a_classifier(head, paths, labels):
    classifier = load_classifier(head)
    assert is_classifier(classifier)
    assert classifier._estimator_type == "classifier"  # before scikit-learn 1.6
    assert classifier.classes_.tolist() == ["spots", "stripes"]
    accuracy = (classifier.predict(paths) == np.array(labels)).mean()
    assert classifier.score(paths, labels) == accuracy
    assert classifier.score(paths, pd.Series(labels)) == accuracy
    assert get_scorer("accuracy")(classifier, paths, labels) == accuracy
    assert get_scorer("neg_log_loss")(classifier, paths, labels) < 0
    assert get_scorer("roc_auc")(classifier, paths, labels) > 0.5


def test_a_score_needs_a_label_of_the_head_for_each_image(head, paths, labels):
    classifier = load_classifier(head, on_error="nan")
    with pytest.raises(ValueError, match=r"labels of shape \(3,\) for 4 images"):
        classifier.score(paths[:4], labels[:3])
    with pytest.raises(ValueError, match="no label is one of the 2 classes: spots, stripes"):
        classifier.score(paths[:2], [0, 1])
    right = classifier.score(paths[:1], labels[:1])
    assert classifier.score([paths[0], b""], [labels[0], "stripes_and_more"]) == right / 2


def test_what_a_cell_of_a_notebook_shows_is_a_line(backbone, pictures, head):
    fit = backbone.extract(pictures).fit_head(seed=0)
    shown = repr(load_classifier(head))
    assert shown == f"Classifier({fit.head.title}, 2 classes: spots, stripes)"
    assert fit.head.title.startswith("tiny.onnx ")
    assert "fp32" in shown
    assert repr(fit) == (
        f"Fit(lbfgs, 70/15/15: 17 train, 4 validation, 3 test images; "
        f"test accuracy {fit.test.accuracy:.4f}, loss {fit.test.loss:.4f})"
    )
    for value in (fit.features, fit.split, fit.solution, fit.head, fit.train):
        assert len(repr(value)) < 200
        assert "array(" not in repr(value)


def test_no_head_is_one_line(tmp_path):
    with pytest.raises(Failure, match="there is no head"):
        load_classifier(tmp_path)


def test_the_library_says_nothing_by_itself(head, paths, capfd, caplog):
    caplog.set_level(logging.WARNING)
    load_classifier(head).predict(paths)
    assert capfd.readouterr() == ("", "")
