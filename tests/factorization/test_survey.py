"""What splitting each convolution would save and cost."""

import numpy as np
import pytest
from int8_samples import kernel, model, node, pictures

import engine.factorization.survey
from engine.backbones.preprocessing import NETWORK_INPUT
from engine.factorization.float_model import FloatModel
from engine.factorization.survey import options, responses
from engine.factorization.timing import Shape, seconds
from engine.factorization.truth import true_answers

CONV = {"pads": [1, 1, 1, 1]}
NODES = [
    node("Conv", f"{NETWORK_INPUT} k0", "a", strides=[2, 2], **CONV),
    node("Relu", "a", "b"),
    node("Conv", "b k1", "c", **CONV),
    node("Conv", "c k2", "d", **CONV),
    node("Flatten", "d", "features"),
]
CONSTANTS = {"k0": kernel(64, 3, 3, 3), "k1": kernel(48, 64, 3, 3), "k2": kernel(16, 48, 3, 3)}


@pytest.fixture
def proto():
    return model(NODES, CONSTANTS, "features")


def responses_of(proto, pixels):
    network = FloatModel(proto)
    return responses(network, pixels, true_answers(network, pixels, len(pixels)))


def test_responses_are_those_of_each_convolution(proto):
    found = responses_of(proto, pictures(5))
    assert list(found) == ["a", "c", "d"]
    assert [tuple(answer.answers.read) for answer in found.values()] == [
        (3, 16, 16),
        (64, 8, 8),
        (48, 8, 8),
    ]
    for answer in found.values():
        assert answer.kept[-1] == pytest.approx(1, abs=0.01)
        assert (np.diff(answer.kept) >= -1e-12).all()
    assert found["a"].kept[8] == pytest.approx(1, abs=1e-3)  # nine products of three colours


def test_options_are_the_ranks_that_were_measured_to_save_time(proto, monkeypatch):
    """Here a split saves from half the channels on."""

    def measured(_shape, outputs, rank, _opset):
        return 1.0 if rank is None else 0.1 + 1.6 * rank / outputs[0]

    monkeypatch.setattr(engine.factorization.survey, "seconds", measured)
    answers = responses_of(proto, pictures(5))
    found = options(FloatModel(proto), answers)
    assert [option.rank for option in found["a"]] == [None]  # nine products of three colours
    assert [option.rank for option in found["c"]] == [None, 16]
    assert [option.rank for option in found["d"]] == [None]
    assert found["c"][1].seconds == pytest.approx(0.1 + 1.6 * 16 / 48)
    lost = -np.log(answers["c"].kept[15]) * answers["c"].sensitivity
    assert found["c"][1].lost == pytest.approx(lost)


@pytest.mark.parametrize("rank", [None, 16])
def test_a_convolution_is_timed_as_it_stands(proto, rank):
    first = next(entry for entry in proto.graph.node if entry.output[0] == "a")
    assert seconds(Shape(first, (3, 16, 16)), (64, 3, 3, 3), rank, 17) > 0


def test_what_hardly_matters_to_the_features_may_lose_more():
    """The last convolution halves what it reads of the first in two ways, one of them faint."""
    nodes = [
        node("Conv", f"{NETWORK_INPUT} k0", "loud", pads=[1, 1, 1, 1]),
        node("Conv", f"{NETWORK_INPUT} k1", "faint", pads=[1, 1, 1, 1]),
        node("Mul", "faint little", "fainter"),
        node("Add", "loud fainter", "sum"),
        node("GlobalAveragePool", "sum", "p"),
        node("Flatten", "p", "features"),
    ]
    constants = {
        "k0": kernel(8, 3, 3, 3),
        "k1": kernel(8, 3, 3, 3, seed=1),
        "little": np.float32(0.01),
    }
    found = responses_of(model(nodes, constants, "features"), pictures(6))
    assert found["faint"].sensitivity < 0.1 * found["loud"].sensitivity


def test_a_convolution_at_the_end_is_compared_by_itself():
    nodes = [node("Conv", f"{NETWORK_INPUT} k0", "a", strides=[4, 4])]
    found = responses_of(model(nodes, {"k0": kernel(8, 3, 3, 3)}, "a"), pictures(6))
    assert 0 < found["a"].sensitivity < 1
