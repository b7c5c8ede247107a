"""The convolutions of a graph that can be split in two smaller ones, and the splitting."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.factorization.float_model import FloatModel
from engine.graphs import walk

# Of a kernel over images: outputs, inputs, height, width.
_AXES = 4


@dataclass(frozen=True)
class Convolution:
    """A convolution of one group with constant weights.

    output: its tensor, its name. kernel: float32 (O, I, KH, KW). bias: float32 (O,), zeros where it
    has none.
    """

    output: str
    kernel: np.ndarray
    bias: np.ndarray

    @property
    def outputs(self) -> int:
        """How many channels it gives."""
        return len(self.kernel)


@dataclass(frozen=True)
class Split:
    """What a convolution becomes: one down, of fewer channels, then one across.

    narrow: float32 (rank, I, KH, 1), without a bias. wide: float32 (O, rank, 1, KW). bias: float32
    (O,).
    """

    narrow: np.ndarray
    wide: np.ndarray
    bias: np.ndarray


def convolutions(model: FloatModel) -> dict[str, Convolution]:
    """Return the convolutions that can be split, by their outputs, in the graph's order.

    Those of single positions are left out: two of them have no fewer multiplications unless the
    rank is below half, where nothing of the answer is left.
    """
    constants = walk.constants(model.proto.graph)
    folder = str(model.folder or "")
    found = {}
    for node in model.nodes:
        if node.op_type != "Conv" or walk.attributes(node).get("group", 1) != 1:
            continue
        if any(name and name not in constants for name in node.input[1:]):
            continue
        weights = constants[node.input[1]]
        if (
            len(weights.dims) != _AXES
            or weights.dims[2:] == [1, 1]
            or weights.data_type != TensorProto.FLOAT
        ):
            continue
        kernel = numpy_helper.to_array(weights, folder)
        has_bias = len(node.input) > 2 and node.input[2]
        bias = numpy_helper.to_array(constants[node.input[2]], folder) if has_bias else None
        found[node.output[0]] = Convolution(
            node.output[0], kernel, np.zeros(len(kernel), np.float32) if bias is None else bias
        )
    return found


def split_convolutions(model: onnx.ModelProto, splits: Mapping[str, Split]) -> None:
    """Split convolutions of a model, by their outputs."""
    graph = model.graph
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.output[0] in splits:
            two, constants = split_node(node, splits[node.output[0]])
            graph.initializer.extend(constants)
            nodes += two
        else:
            nodes.append(node)
    walk.replace_nodes(graph, nodes)
    used = {name for node in graph.node for name in node.input}
    for number in reversed(range(len(graph.initializer))):
        if graph.initializer[number].name not in used:
            del graph.initializer[number]


def split_node(
    node: onnx.NodeProto, split: Split
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return the two nodes of a split, and their constants."""
    output = node.output[0]
    # Names that quantisation does not give.
    names = {part: f"{output}/{part}" for part in ("narrow", "wide", "wide_bias")}
    values = (split.narrow, split.wide, split.bias)
    constants = [
        numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name)
        for name, array in zip(names.values(), values, strict=True)
    ]
    between = f"{output}/between"
    down, across = two_directions(walk.attributes(node))
    narrow = helper.make_node(
        "Conv", [node.input[0], names["narrow"]], [between], name=between, **down
    )
    wide = helper.make_node(
        "Conv", [between, names["wide"], names["wide_bias"]], [output], name=output, **across
    )
    return [narrow, wide], constants


def two_directions(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the attributes of a convolution down and of one across, of those of the whole."""
    down, across = {}, {}
    for name, value in attributes.items():
        if name in ("strides", "dilations", "kernel_shape"):
            down[name], across[name] = [value[0], 1], [1, value[1]]
        elif name == "pads":
            top, left, bottom, right = value
            down[name], across[name] = [top, 0, bottom, 0], [0, left, 0, right]
        elif name != "group":
            down[name] = across[name] = value
    return down, across
