"""Small float networks to quantise, and what fake quantisation makes of them."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from engine.backbones.preprocessing import NETWORK_INPUT, preprocessing_named
from engine.exporters.pixels import preprocessing_nodes
from engine.quantization.network import Quantizer
from engine.quantization.plan import WEIGHTED, Plan
from engine.quantization.rounding import QuantizedWeights

OPSET = 17


def node(operator: str, inputs: str, output: str, **attributes) -> onnx.NodeProto:
    """Return a node; `inputs` are names between spaces."""
    return helper.make_node(operator, inputs.split(" "), [output], **attributes)


def kernel(*shape: int, seed: int = 0, size: float | None = None) -> np.ndarray:
    """Return seeded float32 weights that keep the size of what they are given."""
    fan = np.prod(shape[1:]) if len(shape) == 4 else shape[0]
    values = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return (values * (np.sqrt(2 / fan) if size is None else size)).astype(np.float32)


def graph(nodes, constants: dict[str, np.ndarray], output: str) -> onnx.GraphProto:
    """Return a graph from `images`, uint8 (N, H, W, 3), to the float tensor `output`."""
    return helper.make_graph(
        nodes,
        "sample",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )


def model(
    nodes, constants: dict[str, np.ndarray], output: str, preprocessing: str = "caffe", opset=OPSET
) -> onnx.ModelProto:
    """Return a network over `network_input`, (N, 3, H, W), with its preprocessing before it."""
    before, more = preprocessing_nodes(
        preprocessing_named(preprocessing), "images", NETWORK_INPUT, channels_first=True
    )
    named = {constant.name: numpy_helper.to_array(constant) for constant in more}
    whole = graph([*before, *nodes], {**named, **constants}, output)
    made = helper.make_model(whole, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(made).graph.output[0]
    made.graph.output[0].CopyFrom(inferred)
    onnx.checker.check_model(made)
    return made


def pictures(count: int, size: int = 16, seed: int = 0) -> np.ndarray:
    """Return smooth seeded pictures, uint8 (count, size, size, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3))
    whole = coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2)
    noise = np.random.default_rng([seed, 1]).normal(0, 12, whole.shape)
    return np.clip(whole + noise, 0, 255).astype(np.uint8)


def run(proto: onnx.ModelProto, pixels: np.ndarray) -> np.ndarray:
    """Return the output of a model for pixels."""
    return session_of(proto).run(None, {"images": pixels})[0]


def session_of(proto: onnx.ModelProto, level: int = 99) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel(level)
    return onnxruntime.InferenceSession(proto.SerializeToString(), options)


def fused_operators(proto: onnx.ModelProto, folder: Path) -> list[str]:
    """Return the operators that ONNX Runtime makes of a model, in their order."""
    path = folder / "optimised.onnx"
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(proto.SerializeToString(), options)
    return [node.op_type for node in onnx.load(path).graph.node]


def fake_quantized(
    proto: onnx.ModelProto,
    plan: Plan,
    quantizers: dict[str, Quantizer],
    weights: dict[str, QuantizedWeights],
    biases: dict[str, np.ndarray],
    pixels: np.ndarray,
) -> np.ndarray:
    """Return a float model's output with its sites rounded in float, node by node.

    This is what quantisation means; nothing of `quantization.qdq` but the values of its weights is
    used.
    """
    values = {c.name: numpy_helper.to_array(c) for c in proto.graph.initializer}
    values["images"] = pixels
    for entry in proto.graph.node:
        inputs = {name: values[name] for name in entry.input if name}
        own = onnx.NodeProto()
        own.CopyFrom(entry)
        output = entry.output[0]
        if output in plan.nodes and entry.op_type in WEIGHTED:
            inputs[entry.input[1]] = weights[output].dequantized().astype(np.float32)
            if output in biases:
                own.input[:] = [*entry.input[:2], "corrected"]
                inputs["corrected"] = biases[output]
        values.update(_run_node(own, inputs, proto.opset_import))
        if output in quantizers:
            step, zero = quantizers[output].scale, quantizers[output].zero_point
            whole = np.clip(np.rint(values[output] / step) + zero, 0, 255)
            values[output] = ((whole - zero) * step).astype(np.float32)
    return values[proto.graph.output[0].name]


def _run_node(entry: onnx.NodeProto, inputs: dict[str, np.ndarray], opsets) -> dict:
    kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in inputs.items()}
    kind = TensorProto.FLOAT if entry.op_type == "Cast" else kinds[entry.input[0]]
    alone = helper.make_graph(
        [entry],
        "alone",
        [
            helper.make_tensor_value_info(name, kinds[name], array.shape)
            for name, array in inputs.items()
        ],
        [helper.make_tensor_value_info(name, kind, None) for name in entry.output],
    )
    proto = helper.make_model(alone, opset_imports=opsets, ir_version=8)
    return dict(zip(entry.output, session_of(proto, level=0).run(None, inputs), strict=True))
