"""Local response normalisation, written out in operators that are quick on a CPU.

ONNX Runtime computes its LRN value by value on one thread, a power for each: half of GoogLeNet's
time. Of LRN's definition (https://onnx.ai/onnx/operators/onnx__LRN.html)

    y = x / (bias + alpha / size * sum of the squares of `size` neighbouring channels) ^ beta

the sum over channels is a convolution of 1 x 1, and a power of 3/4 two square roots.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from engine.graphs.files import without_weights
from engine.graphs.walk import attributes, operator_set, replace_nodes

# The first in which Mul, Div and Pow are what they are now.
_OPERATOR_SET = 7


def write_out_local_response(model: onnx.ModelProto) -> None:
    """Replace each LRN of a model, in place.

    It stays where it is not of float32, where the number of channels is not known, and in models
    older than the operators that it is written in.
    """
    if operator_set(model) < _OPERATOR_SET or not any(map(_is_lrn, model.graph.node)):
        return
    channels = _channels(model)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if _is_lrn(node) and node.input[0] in channels:
            written, constants = _written_out(node, channels[node.input[0]])
            nodes += written
            model.graph.initializer.extend(constants)
        else:
            nodes.append(node)
    replace_nodes(model.graph, nodes)


def _is_lrn(node: onnx.NodeProto) -> bool:
    return (
        node.op_type == "LRN"
        and node.domain in ("", "ai.onnx")
        and int(attributes(node).get("size", 0)) > 0
    )


def _channels(model: onnx.ModelProto) -> dict[str, int]:
    """Return how many channels each float32 tensor (N, C, H, W) has, where that can be told."""
    graph = shape_inference.infer_shapes(without_weights(model)).graph
    found = {}
    for entry in (*graph.input, *graph.value_info):
        tensor = entry.type.tensor_type
        dims = tensor.shape.dim
        if tensor.elem_type == TensorProto.FLOAT and len(dims) == 4 and dims[1].dim_value:
            found[entry.name] = int(dims[1].dim_value)
    return found


def _written_out(
    node: onnx.NodeProto, channels: int
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return what stands for an LRN: nodes that give its output, and their constants."""
    given = attributes(node)
    size, alpha = int(given["size"]), given.get("alpha", 1e-4)
    beta, bias = given.get("beta", 0.75), given.get("bias", 1.0)
    source, target = node.input[0], node.output[0]
    # Channel c sums the channels from c - (size - 1) // 2 on, `size` of them.
    offsets = np.arange(channels) - np.arange(channels)[:, None] + (size - 1) // 2
    band = ((offsets >= 0) & (offsets < size)) * (alpha / size)
    parts = ("squares", "band", "bias", "sums", "root", "fourth", "beta", "divisor")
    names = {part: f"{target}/written_out/{part}" for part in parts}
    nodes = [
        helper.make_node("Mul", [source, source], [names["squares"]]),
        helper.make_node("Conv", [names[p] for p in ("squares", "band", "bias")], [names["sums"]]),
    ]
    constants = [
        numpy_helper.from_array(band.astype(np.float32)[..., None, None], names["band"]),
        numpy_helper.from_array(np.full(channels, bias, np.float32), names["bias"]),
    ]
    if beta == 0.75:
        nodes += [
            helper.make_node("Sqrt", [names["sums"]], [names["root"]]),
            helper.make_node("Sqrt", [names["root"]], [names["fourth"]]),
            helper.make_node("Mul", [names["root"], names["fourth"]], [names["divisor"]]),
        ]
    else:
        constants.append(numpy_helper.from_array(np.array(beta, np.float32), names["beta"]))
        nodes.append(helper.make_node("Pow", [names["sums"], names["beta"]], [names["divisor"]]))
    nodes.append(helper.make_node("Div", [source, names["divisor"]], [target], name=node.name))
    return nodes, constants
