"""The preprocessing folded into the first convolution: the same network, but for rounding."""

import numpy as np
import onnx
import pytest
from int8_samples import kernel, model, node, pictures, run
from onnx.reference import ReferenceEvaluator

from engine.backbones.preprocessing import NETWORK_INPUT, PREPROCESSINGS
from engine.quantization.pixel_input import PIXELS, PixelInput, fold_preprocessing

PADS = {
    "none": [0, 0, 0, 0],
    "same": [1, 1, 1, 1],
    "asymmetrical": [0, 0, 1, 1],
    "uneven": [2, 0, 1, 3],
}
MEANS = {"caffe": 115, "tf": 128, "torch": 114, "none": 0, "unit": 0, "clip": 115}


def network(preprocessing, *, bias=True, opset=17, **attributes):
    inputs = f"{NETWORK_INPUT} k0" + (" bias" if bias else "")
    nodes = [node("Conv", inputs, "a", strides=[2, 2], **attributes), node("Relu", "a", "b")]
    constants = {"k0": kernel(8, 3, 3, 3), "bias": kernel(8, 1, size=0.3)[:, 0]}
    return model(nodes, constants, "b", preprocessing, opset)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("pads", PADS)
@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_the_network_is_the_same(preprocessing, pads, bias):
    proto = network(preprocessing, bias=bias, pads=PADS[pads])
    pixels = pictures(3)
    expected = run(proto, pixels)
    folded = fold_preprocessing(proto, PREPROCESSINGS[preprocessing], NETWORK_INPUT)
    assert folded is not None
    assert folded.zero_point == MEANS[preprocessing]
    onnx.checker.check_model(proto, full_check=True)
    got = run(proto, pixels)
    size = np.abs(expected).max()
    if pads == "none":
        np.testing.assert_allclose(got, expected, atol=2e-6 * size)
        return
    inner = (..., slice(1, -2), slice(1, -2))  # what no padding reaches
    np.testing.assert_allclose(got[inner], expected[inner], atol=2e-6 * size)
    # Half a grey level of each padded pixel, through the weights of the taps that can lie there.
    scale = np.array(PREPROCESSINGS[preprocessing].scale).min()
    bound = np.abs(kernel(8, 3, 3, 3)).sum(axis=(1, 2, 3)).max() * 0.5 / scale
    assert np.abs(got - expected).max() <= bound
    assert np.abs(got - expected).max() > 0 or preprocessing in ("none", "unit")


def test_pixels_reach_the_convolution_as_whole_numbers_of_each_channel_its_own_outside():
    proto = network("caffe", pads=[1, 1, 1, 1])
    folded = fold_preprocessing(proto, PREPROCESSINGS["caffe"], NETWORK_INPUT)
    assert folded == PixelInput(f"{PIXELS}/padded", 115)
    for name in (PIXELS, folded.source):
        proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    pixels = pictures(2)
    inside = ReferenceEvaluator(proto).run(None, {"images": pixels})
    np.testing.assert_array_equal(inside[1], inside[2].astype(np.float32) - 115)
    assert inside[2].dtype == np.uint8
    np.testing.assert_array_equal(inside[2][:, :, 1:-1, 1:-1], pixels.transpose(0, 3, 1, 2))
    assert inside[2][0, :, 0, 0].tolist() == [124, 117, 104]


def test_what_the_preprocessing_needed_is_gone():
    proto = network("torch")
    fold_preprocessing(proto, PREPROCESSINGS["torch"], NETWORK_INPUT)
    used = {name for entry in proto.graph.node for name in entry.input}
    assert {constant.name for constant in proto.graph.initializer} <= used
    assert [entry.op_type for entry in proto.graph.node] == [
        "Transpose",
        "Cast",
        "Sub",
        "Conv",
        "Relu",
    ]
    assert proto.graph.node[0].input[0] == "images"


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
def test_every_operator_set_is_spoken(opset):
    proto = network("caffe", pads=[1, 1, 1, 1], opset=opset)
    expected = run(proto, pictures(2))
    fold_preprocessing(proto, PREPROCESSINGS["caffe"], NETWORK_INPUT)
    onnx.checker.check_model(proto, full_check=True)
    np.testing.assert_allclose(run(proto, pictures(2)), expected, atol=8)


@pytest.mark.parametrize(
    "nodes",
    [
        [
            node("Conv", f"{NETWORK_INPUT} k0", "a"),
            node("Conv", f"{NETWORK_INPUT} k0", "b"),
            node("Add", "a b", "c"),
        ],
        [node("Conv", f"{NETWORK_INPUT} k0", "c", auto_pad="SAME_UPPER")],
        [node("Conv", f"{NETWORK_INPUT} depthwise", "c", group=3)],
        [node("Relu", NETWORK_INPUT, "a"), node("Conv", "a k0", "c")],
        [node("Relu", "k0", "k"), node("Conv", f"{NETWORK_INPUT} k", "c")],
        [node("Relu", "b0", "b"), node("Conv", f"{NETWORK_INPUT} k0 b", "c")],
    ],
    ids=["two readers", "auto_pad", "group", "not first", "computed weights", "computed bias"],
)
def test_what_cannot_be_folded_is_left_as_it_was(nodes):
    constants = {
        "k0": kernel(8, 3, 3, 3),
        "depthwise": kernel(3, 1, 3, 3),
        "b0": np.ones(8, np.float32),
    }
    proto = model(nodes, constants, "c")
    before = proto.SerializeToString(deterministic=True)
    assert fold_preprocessing(proto, PREPROCESSINGS["caffe"], NETWORK_INPUT) is None
    assert proto.SerializeToString(deterministic=True) == before


def test_auto_pad_that_says_nothing_is_folded():
    proto = network("tf", auto_pad="NOTSET", pads=[1, 1, 1, 1])
    assert fold_preprocessing(proto, PREPROCESSINGS["tf"], NETWORK_INPUT) is not None
