"""Cross-layer equalisation of a float network, to see whether quantising it gains from that.

Nagel et al., Data-free quantization through weight equalization and bias correction, ICCV 2019,
section 4.1: what one channel of a convolution is divided by, the weights for that channel of those
that follow are multiplied by.
"""

import numpy as np
import onnx
from onnx import numpy_helper

from engine.graphs.walk import consumers
from engine.quantization.plan import activated

# Passes over all pairs; the scales hardly move after that.
_PASSES = 20

# Channels whose weights are all but zero are left as they are.
_LEAST = 1e-8


def equalise(model: onnx.ModelProto) -> None:
    """Equalise a float model's convolutions with those that follow, in place.

    A Clip between two becomes a Relu, for it does not commute with scales (as in the paper): the
    network is no longer quite the same.
    """
    graph = model.graph
    pairs = _pairs(graph)
    weights = {
        constant.name: numpy_helper.to_array(constant).astype(np.float64)
        for constant in graph.initializer
    }
    for _ in range(_PASSES):
        for first, following in pairs:
            _equalise(first, following, weights)
    changed = {name for first, following in pairs for n in (first, *following) for name in n.input}
    for constant in graph.initializer:
        if constant.name in changed:
            values = weights[constant.name].astype(np.float32)
            constant.CopyFrom(numpy_helper.from_array(values, constant.name))
    between = {first.output[0] for first, _ in pairs}
    for node in graph.node:
        if node.op_type == "Clip" and node.input[0] in between:
            node.op_type = "Relu"
            del node.input[1:]


def _pairs(graph: onnx.GraphProto) -> list[tuple[onnx.NodeProto, list[onnx.NodeProto]]]:
    """Return convolutions that only convolutions read, each with those.

    An activation and a maximum may lie between, which positive scales pass through.
    """
    constants = {constant.name for constant in graph.initializer}
    users = consumers(graph.node)
    found = []
    for node in graph.node:
        if node.op_type != "Conv" or not constants.issuperset(node.input[1:]):
            continue
        following = users.get(activated(node.output[0], users), [])
        if [each.op_type for each in following] == ["MaxPool"]:
            following = users.get(following[0].output[0], [])
        if following and all(each.op_type == "Conv" for each in following):
            found.append((node, following))
    return found


def _equalise(
    first: onnx.NodeProto, following: list[onnx.NodeProto], weights: dict[str, np.ndarray]
) -> None:
    """Give each channel one largest weight before and after: w1 / s, w2 * s, s = sqrt(r1 / r2)."""
    kernel = weights[first.input[1]]
    others = {node.input[1]: weights[node.input[1]] for node in following}
    # A depthwise convolution has a kernel for each channel, on its first axis.
    axes = {name: 0 if other.shape[1] == 1 < len(kernel) else 1 for name, other in others.items()}
    before = np.abs(kernel).max(axis=(1, 2, 3))
    after = np.max(
        [np.abs(other).max(axis=(1 - axes[name], 2, 3)) for name, other in others.items()], axis=0
    )
    usable = (before > _LEAST) & (after > _LEAST)
    scales = np.sqrt(np.where(usable, before, 1) / np.where(usable, after, 1))
    weights[first.input[1]] = kernel / scales[:, None, None, None]
    if len(first.input) > 2:
        weights[first.input[2]] = weights[first.input[2]] / scales
    for name, other in others.items():
        shape = [1, 1, 1, 1]
        shape[axes[name]] = -1
        weights[name] = other * scales.reshape(shape)
