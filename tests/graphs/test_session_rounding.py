"""engine.graphs.session: what ONNX Runtime is told not to round."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from engine.backbones.preprocessing import PREPROCESSINGS
from engine.graphs.session import run_over, session
from engine.quantization.network import float_network
from engine.quantization.quantize import integer_form
from engine.quantization.ranges import calibrate
from engine.quantization.rounding import round_layers

CHANNELS = 8


def float_between_integers():
    """Write Conv, depthwise Conv, Conv, with depthwise kernels of very different sizes."""
    rng = np.random.default_rng(0)
    sizes = 10.0 ** np.linspace(-3, 1, CHANNELS).reshape(-1, 1, 1, 1)
    kernels = {
        "first": rng.standard_normal((CHANNELS, 3, 3, 3)) * 0.01,
        "depthwise": rng.standard_normal((CHANNELS, 1, 3, 3)) * sizes,
        "last": rng.standard_normal((4, CHANNELS, 1, 1)) / sizes.reshape(1, -1, 1, 1),
    }
    constants = [
        numpy_helper.from_array(kernel.astype(np.float32), name) for name, kernel in kernels.items()
    ]
    constants.append(numpy_helper.from_array(np.zeros(CHANNELS, np.float32), "bias"))
    nodes = [
        helper.make_node("Transpose", ["images"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["nchw"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "first", "bias"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "depthwise", "bias"], ["b"], group=CHANNELS),
        helper.make_node("Conv", ["b", "last"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mixed",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 12, 12, 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 4])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_float_layers_between_integer_ones_keep_their_weights():
    """ONNX Runtime 1.32 rounds them by one scale for the whole tensor, unless told not to."""
    model = float_between_integers()
    onnx.checker.check_model(model)
    pixels = np.random.default_rng(1).integers(0, 256, (16, 12, 12, 3), np.uint8)
    network = float_network(model, PREPROCESSINGS["none"], keep_float=["b"], fold=False)
    activations = calibrate(network, pixels)
    layers = round_layers(network, activations, levels=127)
    int8 = integer_form(network, activations, layers)

    def features_of(runner):
        (features,) = zip(*run_over(runner, pixels, ["features"]), strict=True)
        return np.concatenate(features)

    got = features_of(session(int8.SerializeToString()))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    as_written = onnxruntime.InferenceSession(
        int8.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    expected = features_of(as_written)
    assert np.abs(got - expected).max() < 0.02 * np.abs(expected).max()
