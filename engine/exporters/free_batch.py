"""The batch of a network that was exported for one image alone, made free.

torch's exporter fixes it unless it is told otherwise: reshapes go to (1, 512), and a class token
is a constant of one image. What is written here gives the same for one image; whether several stay
on their own is what the trial run of every foreign network asks (`engine.exporters.trial`).
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from engine.graphs.walk import attributes, constants, replace_nodes


def free_batch(
    model: onnx.ModelProto, image: onnx.ValueInfoProto, types: Mapping[str, onnx.ValueInfoProto]
) -> None:
    """Let a network that says that it takes one image take any number, in place.

    image: its input. types: what is known of its tensors.
    """
    if image.type.tensor_type.shape.dim[0].dim_value != 1:
        return
    graph, known = model.graph, constants(model.graph)
    count = f"{image.name}/count"
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "Reshape" and (shape := _shape_for_one(node, known, types)):
            name = f"{node.output[0]}/shape"
            graph.initializer.append(
                numpy_helper.from_array(np.array([-1, *shape[1:]], np.int64), name)
            )
            node.input[1] = name
        elif node.op_type == "Concat" and int(attributes(node)["axis"]) != 0:
            for number, name in enumerate(node.input):
                if name in known and len(known[name].dims) > 1 and known[name].dims[0] == 1:
                    node.input[number] = f"{node.output[0]}/{number}"
                    nodes += _repeated(graph, known[name], node.input[number], count)
        nodes.append(node)
    replace_nodes(graph, [*_counting(graph, image.name, count), *nodes])


def _shape_for_one(
    node: onnx.NodeProto,
    known: Mapping[str, onnx.TensorProto],
    types: Mapping[str, onnx.ValueInfoProto],
) -> list[int] | None:
    """Return the shape of which a reshape makes one image; None for any other reshape."""
    if len(node.input) < 2 or node.input[1] not in known:
        return None
    shape = [int(size) for size in numpy_helper.to_array(known[node.input[1]]).reshape(-1)]
    if not shape or shape[0] != 1:
        return None
    if min(shape) < 1:  # one size is left to be found: only the first may be
        entry = types.get(node.output[0])
        shape = [] if entry is None else [d.dim_value for d in entry.type.tensor_type.shape.dim]
    return shape if shape and min(shape) > 0 else None


def _repeated(
    graph: onnx.GraphProto, constant: onnx.TensorProto, target: str, count: str
) -> Iterator[onnx.NodeProto]:
    """Yield nodes that give a constant of one image once for each image."""
    rest, shape = f"{target}/rest", f"{target}/shape"
    _add(graph, rest, constant.dims[1:])
    yield helper.make_node("Concat", [count, rest], [shape], axis=0)
    yield helper.make_node("Expand", [constant.name, shape], [target])


def _counting(graph: onnx.GraphProto, image: str, count: str) -> list[onnx.NodeProto]:
    """Return nodes that give the number of images, int64 (1,)."""
    first, shape = f"{count}/first", f"{count}/shape"
    _add(graph, first, [0])
    return [
        helper.make_node("Shape", [image], [shape]),
        helper.make_node("Gather", [shape, first], [count], axis=0),
    ]


def _add(graph: onnx.GraphProto, name: str, sizes: Iterable[int]) -> None:
    """Add a constant of sizes, int64 (N,)."""
    graph.initializer.append(numpy_helper.from_array(np.array(list(sizes), np.int64), name))
