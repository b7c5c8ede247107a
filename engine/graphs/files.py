"""ONNX files: strangers' are read as data, ours written without a copy of their weights."""

import math
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import TensorProto, external_data_helper

from cache.failures import Failure, first_line
from cache.files import is_link
from engine.graphs.model_file import data_file

# What a constant's place in a data file is a multiple of.
_ALIGNED = 64

# Bytes of a constant from which on it goes into the data file.
_LARGE_BYTES = 4096

# Values in a constant from which on a graph without weights has none of it.
_LARGE_VALUES = 1024


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read an ONNX file, and the file of its larger constants if it is one of ours.

    Raises:
        Failure: it is not a valid one, or keeps weights in other files, which is refused.
    """
    model = load_onnx(path)
    try:
        onnx.checker.check_model(path)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise Failure(f"{path} is not a valid ONNX file: {first_line(error)}") from error
    return model


def load_onnx(path: Path) -> onnx.ModelProto:
    """Read a model as `read_onnx` does, without looking whether its nodes are what ONNX knows."""
    try:
        model = _read_graph(path)
        _refuse_other_files(path, model)
        for constant in filter(_says_where, model.graph.initializer):
            external_data_helper.load_external_data_for_tensor(constant, str(path.parent))
            constant.ClearField("data_location")
    except (onnx.checker.ValidationError, DecodeError, OSError, ValueError) as error:
        raise Failure(f"{path} is not a valid ONNX file: {first_line(error)}") from error
    return model


def refuse_foreign(path: Path) -> None:
    """Raise Failure for an ONNX file of a form that Onceover does not write.

    A cache may bring the file of a stranger, who names its SHA-256 too. Our int8 models hold no
    graph within their graph.
    """
    try:
        model = _read_graph(path)
    except (DecodeError, OSError, ValueError) as error:
        raise Failure(f"{path} is not an ONNX model; it is refused") from error
    _refuse_other_files(path, model)
    attributes = [attribute for node in model.graph.node for attribute in node.attribute]
    inner = any(a.HasField("g") or a.graphs or a.HasField("sparse_tensor") for a in attributes)
    if inner or model.functions or model.graph.sparse_initializer:
        raise Failure(f"{path} is not a model that Onceover wrote; it is refused")


def _read_graph(path: Path) -> onnx.ModelProto:
    return onnx.load(path, format="protobuf", load_external_data=False)


def _refuse_other_files(path: Path, model: onnx.ModelProto) -> None:
    """Raise Failure if a model keeps weights anywhere but in itself and in its data file.

    What a tensor says beside its values could be read too, once the values' place is said.
    """
    data = data_file(path)
    located = [constant for constant in model.graph.initializer if _says_where(constant)]
    elsewhere = any(map(_says_where, _inner_tensors(model)))
    if elsewhere or {_location(constant) for constant in located} - {data.name}:
        raise Failure(
            f"{path} keeps weights in other files, which is refused; "
            "give one file that holds them all"
        )
    if located and (is_link(data) or not data.is_file()):
        raise Failure(f"{data}, the weights of {path.name}, is no file; put it there again")


def _says_where(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.external_data) or tensor.data_location == TensorProto.EXTERNAL


def _location(tensor: onnx.TensorProto) -> str:
    places = {entry.key: entry.value for entry in tensor.external_data}
    return str(places.get("location", ""))


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


def without_weights(model: onnx.ModelProto, file: Path | None = None) -> onnx.ModelProto:
    """Return a copy of a model without the values of its larger constants.

    file: one that the model was read from. Constants that lie in its data file are named as such,
        all others keep their values. None: no large one has any.
    """
    bare = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = model.graph
    bare.graph.name = graph.name
    for copied, fields in (
        (bare.graph.node, graph.node),
        (bare.graph.input, graph.input),
        (bare.graph.output, graph.output),
    ):
        copied.extend(fields)
    located = {} if file is None else _located(file)
    for constant in graph.initializer:
        if constant.name in located:
            bare.graph.initializer.append(located[constant.name])
        elif file is None and math.prod(constant.dims) >= _LARGE_VALUES:
            bare.graph.initializer.add(
                name=constant.name, data_type=constant.data_type, dims=constant.dims
            )
        else:
            bare.graph.initializer.append(constant)
    return bare


def _located(file: Path) -> dict[str, TensorProto]:
    """Return the constants of a model that lie in its data file, by name."""
    graph = _read_graph(file).graph
    return {constant.name: constant for constant in graph.initializer if constant.external_data}


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """Return what an ONNX model says about itself."""
    return {entry.key: entry.value for entry in model.metadata_props}


def write_onnx(
    model: onnx.ModelProto, path: Path, matrices: Mapping[str, np.ndarray] | None = None
) -> None:
    """Write a model, its larger constants to the data file beside it, one at a time.

    model: is used up: its larger constants lose their values.
    matrices: further float32 constants by name, of which no copy is made in memory.
    """
    constants = model.graph.initializer
    large = [c for c in constants if len(c.raw_data) >= _LARGE_BYTES]
    data = data_file(path)
    with data.open("wb") as file:
        for constant in large:
            values = constant.raw_data
            constant.ClearField("raw_data")
            _place(constant, data.name, file.seek(_next_place(file.tell())), len(values))
            file.write(values)
        for name, array in (matrices or {}).items():
            constant = constants.add(name=name, data_type=TensorProto.FLOAT, dims=array.shape)
            _place(constant, data.name, file.seek(_next_place(file.tell())), array.nbytes)
            file.write(np.ascontiguousarray(array, "<f4").data.cast("B"))
    if not large and not matrices:
        data.unlink()
    path.write_bytes(model.SerializeToString())


def _next_place(place: int) -> int:
    return -(-place // _ALIGNED) * _ALIGNED


def _place(constant: TensorProto, location: str, offset: int, length: int) -> None:
    """Say where the values of a constant are."""
    del constant.external_data[:]
    constant.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        constant.external_data.add(key=key, value=str(value))


def write_one_file(model: onnx.ModelProto, path: Path) -> None:
    """Write a model with all its constants to one file, which says that Onceover made it.

    Raises:
        Failure: it would exceed 2 GB.
    """
    model.producer_name, model.producer_version = "onceover", version("onceover")
    try:
        serialised = model.SerializeToString()
    except (EncodeError, ValueError) as error:  # which of them hangs on the version of protobuf
        raise Failure(
            f"{path.name} would be larger than 2 GB, which one ONNX file cannot be; "
            "choose a smaller network or an earlier layer"
        ) from error
    path.write_bytes(serialised)
