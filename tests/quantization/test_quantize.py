"""fp32 to int8: what the rounding of weights takes goes back into the bias."""

import numpy as np
import pytest
from int8_samples import kernel, model, node, pictures, run

import engine.quantization.rounding
from engine.backbones.preprocessing import NETWORK_INPUT, PREPROCESSINGS
from engine.quantization.quantize import quantize

CONV = {"kernel_shape": [3, 3]}


def cancelling(groups):
    """Return weights (16, 16 / groups, 1, 1) whose large values cancel out."""
    inputs = 16 // groups
    weights = kernel(16, inputs, 1, 1, size=0.05)
    large = np.random.default_rng(1).uniform(3, 6, (16, 1, 1)).astype(np.float32)
    weights[:, 0] += large
    if inputs > 1:
        weights[:, 1] -= large
    return weights


def network(groups, dense=False):
    # Every channel of `b` is bright and hardly varies: rounding moves the mean of what follows.
    nodes = [
        node("Conv", f"{NETWORK_INPUT} k0 bright", "a", pads=[1, 1, 1, 1], **CONV),
        node("Relu", "a", "b"),
    ]
    if dense:
        nodes += [
            node("GlobalAveragePool", "b", "p"),
            node("Flatten", "p", "f"),
            node("Gemm", "f matrix", "c"),
        ]
    else:
        nodes += [
            node("Conv", "b k1 bias", "c", group=groups),
            node("GlobalAveragePool", "c", "p"),
        ]
    nodes.append(node("Flatten", nodes[-1].output[0], "features"))
    matrix = np.ascontiguousarray(cancelling(1)[:, :, 0, 0].T)
    return model(
        nodes,
        {
            "k0": kernel(16, 3, 3, 3, size=0.002),
            "bright": np.full(16, 4, np.float32),
            "k1": cancelling(groups),
            "bias": np.linspace(-1, 1, 16).astype(np.float32),
            "matrix": matrix,
        },
        "features",
    )


def off(groups, dense=False, images=16):
    float_model = network(groups, dense)
    expected = run(float_model, pictures(images, seed=5))
    int8 = quantize(float_model, PREPROCESSINGS["caffe"], pictures(images), levels=127)
    return np.abs(run(int8, pictures(images, seed=5)) - expected).mean()


@pytest.mark.parametrize(("groups", "dense"), [(1, False), (2, False), (4, False), (1, True)])
def test_the_correction_takes_most_of_the_error_away(monkeypatch, groups, dense):
    corrected = off(groups, dense)

    monkeypatch.setattr(engine.quantization.rounding, "_correction", lambda *_: np.zeros(16))
    plain = off(groups, dense)
    assert corrected < plain / 3


@pytest.mark.parametrize("rows", [1, 5, 16])
def test_a_dense_layer_is_corrected_in_parts(monkeypatch, rows):
    def made():
        int8 = quantize(network(1, dense=True), PREPROCESSINGS["caffe"], pictures(5), levels=127)
        return int8.SerializeToString(deterministic=True)

    at_once = made()
    monkeypatch.setattr(engine.quantization.rounding, "_ROWS", rows)
    assert made() == at_once


def test_depthwise_weights_are_each_their_own_scale():
    """One weight a channel is its own peak: nothing is rounded, nothing is to correct."""
    assert off(16) < 0.1


def test_the_same_images_give_the_same_model():
    def made():
        int8 = quantize(network(2), PREPROCESSINGS["caffe"], pictures(5), levels=127)
        return int8.SerializeToString(deterministic=True)

    assert made() == made()


def test_a_network_of_which_nothing_can_be_integer_stays_what_it_is():
    nodes = [
        node("Flatten", NETWORK_INPUT, "f"),
        node("Gemm", "f dense", "g", transB=1),
        node("Flatten", "g", "features"),
    ]
    float_model = model(nodes, {"dense": kernel(4, 768)}, "features")
    expected = run(float_model, pictures(2))
    int8 = quantize(float_model, PREPROCESSINGS["caffe"], pictures(2), levels=127)
    np.testing.assert_array_equal(run(int8, pictures(2)), expected)
