"""Ways through the nodes of an ONNX graph."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import onnx


def constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Return the constants of a graph itself, by their names; they are not copies."""
    return {constant.name: constant for constant in graph.initializer}


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the values of the attributes that a node has, by their names; strings are bytes."""
    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


def replace_nodes(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Give a graph other nodes, among them perhaps some of its own.

    What it knew of its tensors' shapes goes: it may be of tensors that are no longer there.
    """
    chosen = list(nodes)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(chosen)


def consumers(nodes: Iterable[onnx.NodeProto]) -> dict[str, list[onnx.NodeProto]]:
    """Return the nodes that read each tensor, by its name."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def operator_set(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that a model is written in."""
    return max((e.version for e in model.opset_import if e.domain in ("", "ai.onnx")), default=1)


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the tensors that a node reads, and those that graphs inside it may read."""
    yield from node.input
    for inner in _inner_nodes(node):
        yield from reads(inner)


def rename_reads(nodes: Iterable[onnx.NodeProto], names: Mapping[str, str]) -> None:
    """Have nodes, and those of graphs inside them, read other tensors: names, old to new."""
    for node in nodes:
        node.input[:] = [names.get(name, name) for name in node.input]
        rename_reads(_inner_nodes(node), names)


def _inner_nodes(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            yield from graph.node


def needed(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """Return the nodes that some of the tensors `outputs` depend on, in their order.

    nodes: in topological order.
    """
    kept, wanted = [], set(outputs)
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(reads(node))
    return kept[::-1]
