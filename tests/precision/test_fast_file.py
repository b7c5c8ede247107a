"""A fast file whose features hold on images that it was not made by."""

import json

import numpy as np
import onnx
import pytest

import engine.precision.fast_file
from cache.failures import Failure
from engine.backbones.model import METADATA_KEY
from engine.factorization.convolutions import convolutions
from engine.factorization.factorize import factorize
from engine.factorization.truth import true_answers
from engine.graphs.session import session
from engine.precision.fast import AIM, FastForm
from engine.precision.handover import features_file, read_features
from engine.precision.worker import quantize_file


@pytest.fixture
def aims(monkeypatch):
    """Make forms of falling ranks, the lower the less they are to lose; return what was asked."""
    asked = []

    def survey(model, pixels):
        return model, pixels, true_answers(model, pixels, len(pixels))

    def form(known, aim=AIM, before=None):
        asked.append((aim, before and before.share))
        model, images, truth = known
        ranks = dict.fromkeys(list(convolutions(model))[1:], 4 + 2 * len(asked))
        return FastForm(factorize(model, ranks, images, truth), ranks, 0.01, 0.8 / len(asked))

    monkeypatch.setattr(engine.precision.fast_file, "survey", survey)
    monkeypatch.setattr(engine.precision.fast_file, "fast_form", form)
    monkeypatch.setattr(engine.precision.fast_file, "share_of", lambda _: 1.1)
    return asked


def answers(monkeypatch, *values):
    left = list(values)
    monkeypatch.setattr(engine.precision.fast_file, "holds", lambda *_: left.pop(0))


def test_a_file_that_does_not_hold_is_followed_by_one_that_loses_less(
    fp32, pixels, tmp_path, monkeypatch, aims
):
    answers(monkeypatch, False, True)
    out = tmp_path / "model.onnx"
    steps = []
    found = quantize_file(
        fp32.path, pixels, out, "fast", lambda done, total: steps.append((done, total))
    )
    assert steps == [(n, 4) for n in (0, 1, 2, 3, 4, 1, 2, 3, 4)]
    assert aims == [(AIM, None), (pytest.approx(AIM - (1.1 - 0.9)), 0.8)]
    assert list(found.ranks.values()) == [8]
    record = json.loads({e.key: e.value for e in onnx.load(out).metadata_props}[METADATA_KEY])
    assert record["factorization"] == {"ranks": found.ranks}
    features = read_features(features_file(out))
    count = found.parity.images
    feeds = {"images": pixels.held_out[:count]}
    np.testing.assert_array_equal(features.other, session(out).run(["features"], feeds)[0])


def test_where_none_holds_it_is_one_line(fp32, pixels, tmp_path, monkeypatch, aims):
    answers(monkeypatch, False, False, False)
    with pytest.raises(Failure, match="a gain in speed that its features allow"):
        quantize_file(fp32.path, pixels, tmp_path / "model.onnx", "fast")
    assert len(aims) == 3
    assert aims[-1][0] < aims[1][0]
