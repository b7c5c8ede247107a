"""Means over positions, written so that an image's do not hang on its batch.

ONNX Runtime averages (N, H, W, C) over H and W in one order for one image and in another for
several: `GlobalAveragePooling2D` differed in the last places (docs/decisions/010). It is free to
move transpositions around such a mean, but not around GlobalAveragePool, which has one order.
"""

from collections.abc import Mapping

import onnx
from onnx import helper, numpy_helper, shape_inference

from engine.graphs.files import without_weights
from engine.graphs.walk import attributes, constants, replace_nodes


def write_out_means(model: onnx.ModelProto) -> None:
    """Replace each mean over the positions of (N, positions..., C), in place.

    Other means stay: over the last axes they have one order, over the batch none is of use.
    """
    if not any(node.op_type == "ReduceMean" for node in model.graph.node):
        return
    ranks, known = _ranks(model), constants(model.graph)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        rank = ranks.get(node.input[0], 0) if node.op_type == "ReduceMean" else 0
        if rank > 2 and sorted(axis % rank for axis in _axes(node, known)) == [*range(1, rank - 1)]:
            nodes += _pooled(node, rank)
        else:
            nodes.append(node)
    replace_nodes(model.graph, nodes)


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """Return how many axes each tensor has, where that can be told."""
    graph = shape_inference.infer_shapes(without_weights(model)).graph
    return {
        entry.name: len(entry.type.tensor_type.shape.dim)
        for entry in (*graph.input, *graph.value_info, *graph.output)
        if entry.type.tensor_type.HasField("shape")
    }


def _axes(node: onnx.NodeProto, known: Mapping[str, onnx.TensorProto]) -> list[int]:
    """Return the axes of a mean: an attribute, or from operator set 18 on an input."""
    if "axes" in attributes(node):
        return [int(axis) for axis in attributes(node)["axes"]]
    if len(node.input) > 1 and node.input[1] in known:
        return [int(axis) for axis in numpy_helper.to_array(known[node.input[1]]).reshape(-1)]
    return []


def _pooled(node: onnx.NodeProto, rank: int) -> list[onnx.NodeProto]:
    """Return nodes that give what a mean over positions gives, by a pooling of channels first."""
    source, target = node.input[0], node.output[0]
    moved, pooled = f"{target}/channels_first", f"{target}/pooled"
    nodes = [
        helper.make_node("Transpose", [source], [moved], perm=[0, rank - 1, *range(1, rank - 1)]),
        helper.make_node("GlobalAveragePool", [moved], [pooled], name=node.name),
    ]
    if attributes(node).get("keepdims", 1):
        back = [0, *range(2, rank), 1]
        nodes.append(helper.make_node("Transpose", [pooled], [target], perm=back))
    else:
        nodes.append(helper.make_node("Flatten", [pooled], [target], axis=1))
    return nodes
