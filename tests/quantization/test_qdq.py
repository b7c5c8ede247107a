"""Quantisation written into a graph, against fake quantisation in float."""

import numpy as np
import onnx
import pytest
from int8_samples import fake_quantized, kernel, model, node, pictures, run

import engine.quantization.quantize
from engine.backbones.preprocessing import NETWORK_INPUT, PREPROCESSINGS
from engine.quantization.network import float_network
from engine.quantization.qdq import write_qdq
from engine.quantization.quantize import IN_FLOAT, quantize
from engine.quantization.ranges import calibrate

X = NETWORK_INPUT
CONV = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
CONSTANTS = {
    "k0": kernel(8, 3, 3, 3, size=0.02),
    "k1": kernel(8, 8, 3, 3),
    "k2": kernel(8, 8, 3, 3, seed=1),
    "one": kernel(8, 1, 3, 3),
    "dense": kernel(512, 12),
    "pooled": kernel(128, 12),
    "square": kernel(12, 12),
    "b8": kernel(8, 1, size=0.2)[:, 0],
    "b12": kernel(12, 1, size=0.2)[:, 0],
    "row": kernel(1, 12, size=0.2),
    "zero": np.float32(0),
    "six": np.float32(6),
    "half": np.float32(0.5),
    "shape": np.array([-1, 512], np.int64),
}
FIRST = [node("Conv", f"{X} k0 b8", "a", **CONV), node("Relu", "a", "b")]
HALF = {"kernel_shape": [2, 2], "strides": [2, 2]}
NETWORKS = {
    "convolution": [*FIRST, node("Conv", "b k1", "c", **CONV)],
    "relu": [*FIRST, node("Conv", "b k1 b8", "c", **CONV), node("Relu", "c", "d")],
    "clip": [*FIRST, node("Conv", "b k1", "c", **CONV), node("Clip", "c zero six", "d")],
    "clip in the middle": [
        node("Conv", f"{X} k0", "a", **CONV),
        node("Clip", "a zero half", "b"),
        node("Conv", "b k1", "c", **CONV),
    ],
    "clip from one half on": [
        *FIRST,
        node("Conv", "b k1", "c", **CONV),
        node("Clip", "c half six", "d"),
        node("Conv", "d k2", "e", **CONV),
    ],
    "clip beside what is larger": [
        *FIRST,
        node("Conv", "b k1", "c", **CONV),
        node("Clip", "c zero half", "d"),
        node("Concat", "b d", "e", axis=1),
        node("MaxPool", "e", "f", **HALF),
        node("Flatten", "f", "g"),
        node("Gemm", "g wide b12", "h"),
    ],
    "depthwise": [*FIRST, node("Conv", "b one b8", "c", group=8, **CONV), node("Relu", "c", "d")],
    "dense": [
        *FIRST,
        node("MaxPool", "b", "m", **HALF),
        node("Flatten", "m", "f"),
        node("Gemm", "f dense b12", "g"),
        node("Relu", "g", "h"),
    ],
    "two dense": [
        *FIRST,
        node("MaxPool", "b", "m", **HALF),
        node("Reshape", "m shape", "f"),
        node("Gemm", "f dense row", "g"),
        node("Relu", "g", "h"),
        node("Gemm", "h square", "i"),
    ],
    "matrix products": [
        *FIRST,
        node("MaxPool", "b", "m", **HALF),
        node("Flatten", "m", "f"),
        node("MatMul", "f dense", "g"),
        node("Gemm", "f dense b12", "h"),
        node("Add", "g h", "i"),
    ],
    "residual": [
        *FIRST,
        node("Conv", "b k1", "c", **CONV),
        node("Add", "b c", "d"),
        node("Relu", "d", "e"),
        node("Conv", "e k2", "f", **CONV),
    ],
    "residual before the activation": [
        node("Conv", f"{X} k0 b8", "a", **CONV),
        node("Relu", "a", "b"),
        node("Conv", "b k1", "c", **CONV),
        node("Add", "a c", "d"),
        node("Conv", "d k2", "e", **CONV),
    ],
    "branches": [
        *FIRST,
        node("Conv", "b k1", "c", **CONV),
        node("Relu", "c", "d"),
        node("Conv", "b k2", "e", **CONV),
        node("Concat", "d e", "f", axis=1),
        node("AveragePool", "f", "g", kernel_shape=[8, 8], strides=[8, 8]),
        node("Conv", "g sixteen", "h"),
    ],
    "averages": [
        *FIRST,
        node("Conv", "b k1", "c", **CONV),
        node("GlobalAveragePool", "c", "p"),
        node("Flatten", "p", "f"),
    ],
}
MORE = {"wide": kernel(1024, 12), "sixteen": kernel(4, 16, 1, 1)}


def parts(nodes, pixels, levels=127, preprocessing="caffe"):
    """Return float model, plan, quantizers, weights and biases, as `quantize` makes them."""
    written = []

    def note(network, quantizers, layers):
        written.append((network.model, network.plan, quantizers, layers.weights, layers.biases))
        return write_qdq(network, quantizers, layers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.quantization.quantize, "write_qdq", note)
        float_model = sized(nodes, preprocessing)
        int8 = quantize(float_model, PREPROCESSINGS[preprocessing], pixels, levels=levels)
    return int8, written[-1]


def sized(nodes, preprocessing="caffe", opset=17):
    """Return a network that ends as exported ones do."""
    nodes = [*nodes, node("Flatten", nodes[-1].output[0], "features")]
    used = {name for entry in nodes for name in entry.input}
    constants = {k: v for k, v in {**CONSTANTS, **MORE}.items() if k in used}
    return model(nodes, constants, "features", preprocessing, opset)


@pytest.mark.parametrize("levels", [127, 64])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_integer_network_is_fake_quantisation(name, levels):
    pixels = pictures(IN_FLOAT)
    int8, made = parts(NETWORKS[name], pixels, levels)
    onnx.checker.check_model(int8, full_check=True)
    expected = fake_quantized(*made, pixels)
    got = run(int8, pixels)
    assert got.shape == expected.shape
    step = (expected.max() - expected.min()) / 255
    off = np.abs(got - expected)
    # A value at the border of two steps may fall to either; few do.
    assert off.max() < 4.5 * step
    assert off.mean() <= 0.1 * step
    assert np.abs(made[3][next(iter(made[3]))].values).max() == levels


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_close_to_the_float_network(name):
    pixels = pictures(6)
    expected = run(sized(NETWORKS[name]), pixels)
    got = run(parts(NETWORKS[name], pixels)[0], pixels)
    assert np.linalg.norm(got - expected) <= 0.06 * np.linalg.norm(expected)


@pytest.mark.parametrize("opset", [11, 13, 18, 21])
def test_every_operator_set_gives_the_same(opset):
    pixels = pictures(4)
    expected = run(parts(NETWORKS["dense"], pixels)[0], pixels)
    proto = sized(NETWORKS["dense"], opset=opset)
    int8 = quantize(proto, PREPROCESSINGS["caffe"], pixels, levels=127)
    onnx.checker.check_model(int8, full_check=True)
    np.testing.assert_allclose(run(int8, pixels), expected, atol=1e-4)


def operators(proto):
    return [entry.op_type for entry in proto.graph.node]


def test_saturation_takes_the_place_of_activations():
    assert "Relu" not in operators(parts(NETWORKS["relu"], pictures(4))[0])
    middle = [*NETWORKS["clip"], node("Conv", "d k2", "e", **CONV)]
    assert "Clip" not in operators(parts(middle, pictures(4))[0])
    for kept in ("clip beside what is larger", "clip from one half on"):
        assert "Clip" in operators(parts(NETWORKS[kept], pictures(4))[0])


def test_the_last_dense_layer_gives_floats_from_integers():
    int8, _ = parts(NETWORKS["dense"], pictures(4))
    assert operators(int8)[-3:] == ["Gemm", "Max", "Flatten"]


@pytest.mark.parametrize("last", ["c", "d"])
def test_an_output_of_the_graph_is_given_as_it_is(last):
    nodes = NETWORKS["relu"][: 3 if last == "c" else 4]
    proto = model(nodes, {k: CONSTANTS[k] for k in ("k0", "k1", "b8")}, last)
    expected = run(proto, pictures(4))
    got = run(quantize(proto, PREPROCESSINGS["caffe"], pictures(4), levels=127), pictures(4))
    assert np.linalg.norm(got - expected) <= 0.03 * np.linalg.norm(expected)


def test_pixels_are_not_rounded():
    int8, _ = parts(NETWORKS["relu"], pictures(4))
    first = next(entry for entry in int8.graph.node if entry.op_type == "Conv")
    makers = {entry.output[0]: entry for entry in int8.graph.node}
    read = makers[first.input[0]]
    assert read.op_type == "DequantizeLinear"
    kinds = []
    while read.input[0] != "images":
        read = makers[read.input[0]]
        kinds.append(read.op_type)
    assert set(kinds) <= {"Concat", "Pad", "Split", "Transpose"}


def test_all_weights_are_one_byte():
    int8, _ = parts(NETWORKS["two dense"], pictures(4))
    sizes = {c.name: int(np.prod(c.dims)) for c in int8.graph.initializer if c.data_type == 1}
    assert max(sizes.values()) <= 12
    used = {name for entry in int8.graph.node for name in entry.input}
    assert {c.name for c in int8.graph.initializer} <= used


def test_a_network_whose_first_convolution_cannot_be_folded():
    nodes = [
        node("Conv", f"{X} k0", "a", auto_pad="SAME_UPPER"),
        node("Conv", f"{X} k0", "b", auto_pad="SAME_UPPER"),
        node("Add", "a b", "c"),
        node("Conv", "c k1", "d"),
    ]
    pixels = pictures(4)
    expected = run(sized(nodes), pixels)
    int8, made = parts(nodes, pixels)
    assert X in made[1].sites
    got = run(int8, pixels)
    assert np.linalg.norm(got - expected) <= 0.05 * np.linalg.norm(expected)


def test_a_plan_may_leave_layers_out():
    """`keep_float` of the plan: nothing is quantised for the node that is kept."""
    network = float_network(sized(NETWORKS["relu"]), PREPROCESSINGS["caffe"], keep_float=["c"])
    assert network.pixels is not None
    assert set(calibrate(network, pictures(2))) == set(network.plan.sites)
    assert "d" not in network.plan.sites
