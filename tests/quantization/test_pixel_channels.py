"""A fourth channel of nothing: the same results to the bit."""

import numpy as np
import onnx
import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st
from int8_samples import fused_operators, kernel, model, node, run
from onnx import numpy_helper

import engine.quantization.quantize
from engine.backbones.preprocessing import NETWORK_INPUT, PREPROCESSINGS
from engine.quantization.pixel_channels import repeat_channel
from engine.quantization.quantize import quantize

END = [node("GlobalAveragePool", "c", "p"), node("Flatten", "p", "features")]


@pytest.fixture(autouse=True)
def _three_channels(monkeypatch):
    """Let `quantize` leave the channels to the test."""
    for name in ("group_pixels", "repeat_channel"):
        monkeypatch.setattr(engine.quantization.quantize, name, lambda _: False)


def pixels(height=12, width=16):
    return np.random.default_rng([height, width]).integers(0, 256, (2, height, width, 3), np.uint8)


def int8(side=3, outputs=16, *, preprocessing="caffe", bias=True, **attributes):
    """Return the int8 form of a convolution of `side` x `side` and a second one."""
    nodes = [
        node("Conv", f"{NETWORK_INPUT} k0" + (" b0" if bias else ""), "a", **attributes),
        node("Relu", "a", "b"),
        node("Conv", "b k1", "c", pads=[1, 1, 1, 1]),
        *END,
    ]
    constants = {
        "k0": kernel(outputs, 3, side, side),
        "b0": kernel(outputs, 1, size=0.3)[:, 0],
        "k1": kernel(8, outputs, 3, 3),
    }
    proto = model(nodes, constants, "features", preprocessing)
    return quantize(proto, PREPROCESSINGS[preprocessing], pixels(), levels=63)


def kernel_shape(proto):
    makers = {entry.output[0]: entry for entry in proto.graph.node}
    conv = next(entry for entry in proto.graph.node if entry.op_type == "Conv")
    name = makers[conv.input[1]].input[0]
    return next(list(c.dims) for c in proto.graph.initializer if c.name == name)


def assert_same(proto):
    four = onnx.ModelProto()
    four.CopyFrom(proto)
    assert repeat_channel(four)
    onnx.checker.check_model(four, full_check=True)
    assert kernel_shape(four)[1] == 4
    assert np.array_equal(run(four, pixels()), run(proto, pixels()))
    return four


def assert_left(proto):
    before = proto.SerializeToString(deterministic=True)
    assert not repeat_channel(proto)
    assert proto.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("preprocessing", "operators"),
    [
        ("caffe", ["Transpose", "Split", "Pad", "Pad", "Pad", "Concat", "DequantizeLinear"]),
        ("tf", ["Transpose", "Split", "Concat", "DequantizeLinear"]),
    ],
    ids=["a border of their own", "plain"],
)
def test_pixels_get_a_fourth_channel(preprocessing, operators, bias):
    four = assert_same(int8(preprocessing=preprocessing, bias=bias, pads=[1, 1, 1, 1]))
    assert [entry.op_type for entry in four.graph.node][: len(operators)] == operators


@FUZZ
@given(
    st.integers(1, 5),
    st.sampled_from([16, 20, 24]),
    st.sampled_from(["caffe", "tf", "torch"]),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.tuples(*[st.integers(0, 3)] * 4),
)
def test_any_convolution_gives_the_same(side, outputs, preprocessing, strides, pads):
    assert_same(
        int8(side, outputs, preprocessing=preprocessing, strides=list(strides), pads=list(pads))
    )


@pytest.mark.parametrize("preprocessing", ["caffe", "tf"])
def test_the_runtime_leaves_nothing_in_float(tmp_path, preprocessing):
    proto = int8(preprocessing=preprocessing, pads=[1, 1, 1, 1])
    assert repeat_channel(proto)
    operators = fused_operators(proto, tmp_path)
    before = operators[: operators.index("QLinearConv")]
    assert set(before) <= {"Split", "Pad", "Concat"}
    assert "Conv" not in operators


@pytest.mark.parametrize(
    ("outputs", "strides"), [(16, [3, 1]), (16, [1, 4]), (8, [1, 1]), (30, [1, 1])]
)
def test_what_would_not_gain_is_left_as_it_was(outputs, strides):
    assert_left(int8(outputs=outputs, strides=strides))


def test_pixels_of_a_network_that_begins_otherwise_are_left():
    nodes = [node("Relu", NETWORK_INPUT, "a"), node("Conv", "a k0", "c"), *END]
    proto = model(nodes, {"k0": kernel(16, 3, 3, 3)}, "features", "tf")
    assert_left(quantize(proto, PREPROCESSINGS["tf"], pixels(), levels=63))


def test_a_convolution_of_float_weights_is_left():
    proto = int8()
    conv = next(entry for entry in proto.graph.node if entry.op_type == "Conv")
    proto.graph.initializer.append(numpy_helper.from_array(kernel(16, 3, 3, 3), "float"))
    conv.input[1] = "float"
    assert_left(proto)


def test_quantised_models_have_it_where_pixels_are_not_grouped(monkeypatch):
    monkeypatch.undo()
    assert kernel_shape(int8())[1] == 4
