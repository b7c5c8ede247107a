"""Which convolutions can be split, and what splitting one gives."""

import numpy as np
import onnx
import pytest
from int8_samples import kernel, model, node, pictures, run

from engine.backbones.preprocessing import NETWORK_INPUT
from engine.factorization.convolutions import Split, convolutions, split_convolutions
from engine.factorization.float_model import FloatModel

NODES = [
    node("Conv", f"{NETWORK_INPUT} k0 b0", "a", strides=[2, 2], pads=[1, 1, 1, 1]),
    node("Relu", "a", "b"),
    node("Conv", "b k1", "c"),
    node("Conv", "c depthwise", "d", group=8),
    node("Conv", "d one", "e"),
    node("Mul", "k2 half", "computed"),
    node("Conv", "e computed", "f", pads=[1, 1, 1, 1]),
    node("Flatten", "f", "features"),
]
CONSTANTS = {
    "k0": kernel(8, 3, 3, 3),
    "b0": np.linspace(-1, 1, 8).astype(np.float32),
    "k1": kernel(8, 8, 2, 2),
    "depthwise": kernel(8, 1, 2, 2),
    "one": kernel(8, 8, 1, 1),
    "k2": kernel(8, 8, 3, 3),
    "half": np.float32(0.5),
}


def test_plain_ones_of_several_positions_with_constant_weights_can_be_split():
    found = convolutions(FloatModel(model(NODES, CONSTANTS, "features")))
    assert list(found) == ["a", "c"]
    assert found["a"].bias.tolist() == CONSTANTS["b0"].tolist()
    assert found["c"].bias.tolist() == [0.0] * 8
    np.testing.assert_array_equal(found["c"].kernel, CONSTANTS["k1"])


@pytest.mark.parametrize("name", ["a", "c"])
def test_a_split_of_all_ranks_is_the_convolution(name):
    proto = model(NODES, CONSTANTS, "features")
    whole = convolutions(FloatModel(proto))[name]
    # One channel between for each of a kernel's inputs and rows: all that a kernel down can tell.
    _, inputs, down, across = whole.kernel.shape
    narrow = np.eye(inputs * down, dtype=np.float32).reshape(-1, inputs, down, 1)
    wide = whole.kernel.reshape(len(whole.kernel), inputs * down, 1, across)
    split = onnx.ModelProto()
    split.CopyFrom(proto)
    split_convolutions(split, {name: Split(narrow, wide, whole.bias)})
    onnx.checker.check_model(split, full_check=True)
    assert sum(entry.op_type == "Conv" for entry in split.graph.node) == 6
    used = {each for entry in split.graph.node for each in entry.input}
    assert {constant.name for constant in split.graph.initializer} <= used
    expected = run(proto, pictures(3))
    np.testing.assert_allclose(run(split, pictures(3)), expected, atol=1e-4 * abs(expected).max())
