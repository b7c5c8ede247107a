"""Four pixels to a position: the same results to the bit."""

from itertools import pairwise

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
from engine.quantization.pixel_groups import group_pixels
from engine.quantization.quantize import quantize

END = [node("GlobalAveragePool", "c", "p"), node("Flatten", "p", "features")]


@pytest.fixture(autouse=True)
def _ungrouped(monkeypatch):
    """Let `quantize` leave the grouping to the test."""
    for name in ("group_pixels", "repeat_channel"):
        monkeypatch.setattr(engine.quantization.quantize, name, lambda _: False)


def pixels(height, width, count=2):
    return np.random.default_rng([height, width]).integers(
        0, 256, (count, height, width, 3), np.uint8
    )


def int8(side, height, width, *, preprocessing="tf", bias=True, channels=8, **attributes):
    """Return the int8 form of a convolution of `side` x `side` and a second one."""
    attributes = {"strides": [2, 2]} | attributes
    nodes = [
        node("Conv", f"{NETWORK_INPUT} k0" + (" b0" if bias else ""), "a", **attributes),
        node("Relu", "a", "b"),
        node("Conv", "b k1", "c", pads=[1, 1, 1, 1]),
        *END,
    ]
    constants = {
        "k0": kernel(channels, 3, side, side),
        "b0": kernel(channels, 1, size=0.3)[:, 0],
        "k1": kernel(8, channels, 3, 3),
    }
    proto = model(nodes, constants, "features", preprocessing)
    for axis, size in ((1, height), (2, width)):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
    return quantize(proto, PREPROCESSINGS[preprocessing], pixels(height, width), levels=63)


def first_convolution(proto):
    constants = {constant.name: constant for constant in proto.graph.initializer}
    conv = next(entry for entry in proto.graph.node if entry.op_type == "Conv")
    weights = next(entry for entry in proto.graph.node if entry.output[0] == conv.input[1])
    return conv, list(constants[weights.input[0]].dims)


def assert_same(proto, given):
    grouped = onnx.ModelProto()
    grouped.CopyFrom(proto)
    assert group_pixels(grouped)
    onnx.checker.check_model(grouped, full_check=True)
    assert np.array_equal(run(grouped, given), run(proto, given))
    return grouped


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("preprocessing", ["tf", "none"])
def test_results_are_the_same_and_positions_hold_four_pixels(preprocessing, bias):
    proto = int8(3, 16, 24, preprocessing=preprocessing, bias=bias, pads=[0, 0, 1, 1])
    grouped = assert_same(proto, pixels(16, 24))
    conv, shape = first_convolution(grouped)
    assert shape == [16, 12, 3, 2]
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in conv.attribute}
    assert attributes == {"strides": [2, 1], "pads": [0, 0, 1, 1]}
    operators = [entry.op_type for entry in grouped.graph.node]
    assert operators[:3] == ["Reshape", "Transpose", "DequantizeLinear"]


@FUZZ
@given(
    st.integers(1, 9),
    st.sampled_from([8, 12, 20]),
    st.sampled_from([8, 12, 16, 20]),
    st.tuples(*[st.integers(0, 5)] * 4),
)
def test_any_kernel_and_padding_give_the_same(side, height, width, pads):
    top, left, bottom, right = pads
    if min(top + height + bottom, left + width + right) < side:
        return
    proto = int8(side, height, width, pads=list(pads), channels=4)
    before = proto.SerializeToString(deterministic=True)
    columns = (left + width + right - side) // 2 + 1
    if columns % 2:
        assert not group_pixels(proto)
        assert proto.SerializeToString(deterministic=True) == before
    else:
        assert_same(proto, pixels(height, width))


def test_the_runtime_fuses_and_leaves_nothing_between(tmp_path):
    """On the first convolution's way no float is computed, and no Transpose is left."""
    proto = int8(3, 16, 16, pads=[0, 0, 1, 1], channels=16)
    assert group_pixels(proto)
    operators = fused_operators(proto, tmp_path)
    convolutions = [n for n, operator in enumerate(operators) if operator == "QLinearConv"]
    assert len(convolutions) == 2
    assert "Conv" not in operators
    for one, other in pairwise(convolutions):
        assert operators[one + 1 : other] == ["Reshape"]


@pytest.mark.parametrize(
    ("side", "width", "attributes"),
    [
        (3, 16, {"strides": [1, 1], "pads": [1, 1, 1, 1]}),
        (3, 16, {"strides": [2, 1], "pads": [1, 1, 1, 1]}),
        (3, 16, {"strides": [1, 2], "pads": [1, 1, 1, 1]}),
        (3, 16, {"pads": [0, 0, 0, 0]}),
        (3, 18, {"pads": [0, 0, 1, 3]}),
        (3, 16, {"dilations": [2, 2], "pads": [1, 1, 1, 1]}),
        (5, 16, {"pads": [2, 2, 2, 2], "preprocessing": "caffe"}),
    ],
    ids=["1", "2 and 1", "1 and 2", "odd outputs", "width", "dilations", "own border"],
)
def test_what_does_not_fit_is_left_as_it_was(side, width, attributes):
    proto = int8(side, 16, width, **attributes)
    before = proto.SerializeToString(deterministic=True)
    assert not group_pixels(proto)
    assert proto.SerializeToString(deterministic=True) == before


def test_pixels_of_a_network_that_begins_otherwise_are_left():
    nodes = [
        node("Relu", NETWORK_INPUT, "a"),
        node("Conv", "a k0", "c", strides=[2, 2], pads=[0, 0, 1, 1]),
        *END,
    ]
    proto = model(nodes, {"k0": kernel(8, 3, 3, 3)}, "features", "tf")
    proto = quantize(proto, PREPROCESSINGS["tf"], pixels(16, 16), levels=63)
    assert not group_pixels(proto)


def test_an_activation_that_stays_is_in_the_way():
    nodes = [
        node("Conv", f"{NETWORK_INPUT} k0", "a", strides=[2, 2], pads=[0, 0, 1, 1]),
        node("Clip", "a least", "b"),
        node("Conv", "b k1", "c"),
        *END,
    ]
    constants = {
        "k0": kernel(8, 3, 3, 3),
        "least": np.array(0.125, np.float32),
        "k1": kernel(8, 8, 3, 3),
    }
    proto = model(nodes, constants, "features", "tf")
    proto = quantize(proto, PREPROCESSINGS["tf"], pixels(16, 16), levels=63)
    assert "Clip" in [entry.op_type for entry in proto.graph.node]
    assert not group_pixels(proto)


@pytest.mark.parametrize("axis", [1, 2])
def test_a_size_that_is_not_known_is_left(axis):
    proto = int8(3, 16, 16, pads=[0, 0, 1, 1])
    proto.graph.input[0].type.tensor_type.shape.dim[axis].Clear()
    assert not group_pixels(proto)


def test_a_convolution_that_is_seen_outside_is_left():
    proto = int8(3, 16, 16, pads=[0, 0, 1, 1])
    conv, _ = first_convolution(proto)
    proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(conv.output[0]))
    assert not group_pixels(proto)


def test_a_convolution_of_float_weights_is_left():
    proto = int8(3, 16, 16, pads=[0, 0, 1, 1])
    conv, _ = first_convolution(proto)
    proto.graph.initializer.append(numpy_helper.from_array(kernel(8, 3, 3, 3), "float"))
    conv.input[1] = "float"
    assert not group_pixels(proto)


def test_quantised_models_are_grouped(monkeypatch):
    monkeypatch.undo()
    proto = int8(3, 16, 16, pads=[0, 0, 1, 1])
    assert first_convolution(proto)[1] == [16, 12, 3, 2]
