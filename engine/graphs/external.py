"""The other files that an ONNX model names as places of its weights, and which of them are read."""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from onnx import TensorProto

from cache.failures import Failure
from cache.files import is_link
from engine.graphs.model_file import data_file


def refuse_other_files(path: Path, model: onnx.ModelProto, *, beside: bool) -> None:
    """Raise Failure if a model keeps weights anywhere but in itself and in its data file.

    What a tensor says beside its values could be read too, once the values' place is said.

    beside: whether plain constants may lie in any file of the model's own folder.
    """
    located = {location(constant) for constant in model.graph.initializer if says_where(constant)}
    allowed = set(filter(_is_name, located)) if beside else {data_file(path).name}
    if any(map(says_where, _inner_tensors(model))) or located - allowed:
        what = "one file that holds them all" + (", or one beside it" if beside else "")
        raise Failure(f"{path} keeps weights in other files, which is refused; give {what}")
    for name in sorted(located):
        data = path.with_name(name)
        if is_link(data) or not data.is_file():
            raise Failure(f"{data}, the weights of {path.name}, is no file; put it there again")


def says_where(tensor: onnx.TensorProto) -> bool:
    """Tell whether the values of a tensor lie in another file."""
    return bool(tensor.external_data) or tensor.data_location == TensorProto.EXTERNAL


def location(tensor: onnx.TensorProto) -> str:
    """Return the file that a tensor names, as it is written there; empty for none."""
    places = {entry.key: entry.value for entry in tensor.external_data}
    return str(places.get("location", ""))


def data_names(model: onnx.ModelProto) -> set[str]:
    """Return the names of files in a model's own folder that its plain constants lie in."""
    return set(filter(_is_name, map(location, model.graph.initializer)))


def _is_name(text: str) -> bool:
    """Tell whether a text names a file in the folder, on each system."""
    return text not in ("", ".", "..") and all(
        kind(text).name == text for kind in (PurePosixPath, PureWindowsPath)
    )


def _inner_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield all tensors of a model but the plain constants of its graph itself."""
    yield from _sparse(model.graph.sparse_initializer)
    yield from _node_tensors(model.graph.node)
    for function in model.functions:
        yield from _node_tensors(function.node)
        yield from _attribute_tensors(function.attribute_proto)
    for training in model.training_info:
        for graph in (training.initialization, training.algorithm):
            yield from _graph_tensors(graph)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    yield from _sparse(graph.sparse_initializer)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        yield from _attribute_tensors(node.attribute)


def _attribute_tensors(attributes: Iterable[onnx.AttributeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in attributes:
        yield from (attribute.t, *attribute.tensors)
        yield from _sparse((attribute.sparse_tensor, *attribute.sparse_tensors))
        for graph in (attribute.g, *attribute.graphs):
            yield from _graph_tensors(graph)


def _sparse(tensors: Iterable[onnx.SparseTensorProto]) -> Iterator[onnx.TensorProto]:
    for tensor in tensors:
        yield from (tensor.values, tensor.indices)
