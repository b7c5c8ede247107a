"""What a convolution reads at some positions."""

import numpy as np
import onnxruntime
import pytest
from int8_samples import kernel, node
from onnx import TensorProto, helper, numpy_helper

import engine.factorization.places
from engine.factorization.places import Window, columns_at, places
from engine.factorization.two_ways import columns
from engine.graphs import walk


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"pads": [1, 1, 1, 1]},
        {"pads": [0, 2, 1, 3], "strides": [2, 1]},
        {"pads": [2, 2, 2, 2], "dilations": [2, 3]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 3]},
        {"auto_pad": "VALID", "strides": [3, 2]},
    ],
)
def test_of_what_it_reads_it_gives_its_answers(attributes):
    weights, bias = kernel(6, 4, 3, 2), np.arange(6, dtype=np.float32)
    read = np.random.default_rng(0).standard_normal((1, 4, 11, 12)).astype(np.float32)
    conv = node("Conv", "x k b", "y", **attributes)
    graph = helper.make_graph(
        [conv],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, read.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "k"), numpy_helper.from_array(bias, "b")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    expected = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": read})[0][0]
    window = Window.of(walk.attributes(conv), (3, 2), (11, 12))
    assert window.given == expected.shape[1:]
    at = np.arange(0, expected[0].size, 3)
    read_there = columns_at(window, read[0], at)
    assert read_there.shape == (len(at), 2, 4 * 3)
    middle = columns_at(window, read[0], at, slice(1, 2))
    np.testing.assert_array_equal(middle, read_there[:, 1:])
    each = columns(weights).reshape(12, 2, 6)
    got = np.einsum("nkc,cko->no", read_there, each) + bias
    np.testing.assert_allclose(got, expected.reshape(6, -1)[:, at].T, rtol=1e-4, atol=1e-5)


def test_positions_are_spread_over_the_whole_image(monkeypatch):
    monkeypatch.setattr(engine.factorization.places, "_POSITIONS", 10)
    at = places(196)
    assert (at[0], at[-1], len(at)) == (0, 195, 10)
    assert places(7).tolist() == list(range(7))
