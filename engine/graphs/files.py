"""ONNX files: strangers' are read as data, ours written without a copy of their weights."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from cache.failures import Failure, first_line
from engine.graphs.mapping import GRAPH, INITIALIZER, RAW_DATA, bare_model
from engine.graphs.wire_format import delimited, delimited_start

_DOC_STRING = TensorProto.DOC_STRING_FIELD_NUMBER

# What a constant's place in a file is a multiple of.
_ALIGNED = 64

# Values in a constant from which on it is worth not being copied.
_LARGE = 1024


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read an ONNX file.

    Raises:
        Failure: it is not a valid one, or keeps weights in other files, which is refused.
    """
    try:
        model = onnx.load(path, load_external_data=False)
        if weights_elsewhere(model.graph):
            raise Failure(f"{path} keeps weights in other files; give one file that holds them all")
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, DecodeError, OSError, ValueError) as error:
        raise Failure(f"{path} is not a valid ONNX file: {first_line(error)}") from error
    return model


def weights_elsewhere(graph: onnx.GraphProto) -> bool:
    """Tell whether a graph keeps some of its constants in other files, or says where they would be.

    What it says beside the values themselves could be read once the values' place is said.
    """
    return any(
        tensor.external_data or onnx.external_data_helper.uses_external_data(tensor)
        for tensor in _tensors(graph)
    )


def refuse_foreign(path: Path) -> None:
    """Raise Failure for an ONNX file of a form that Onceover does not write.

    A cache may bring the file of a stranger, who names its SHA-256 too.
    """
    try:
        model = onnx.ModelProto.FromString(bare_model(path, located=False))
    except (DecodeError, ValueError) as error:
        raise Failure(f"{path} is not an ONNX model; it is refused") from error
    attributes = [attribute for node in model.graph.node for attribute in node.attribute]
    inner = any(a.HasField("g") or a.graphs or a.HasField("sparse_tensor") for a in attributes)
    if inner or model.functions or model.graph.sparse_initializer:
        raise Failure(f"{path} is not a model that Onceover wrote; it is refused")
    if weights_elsewhere(model.graph):
        raise Failure(f"{path} keeps weights in other files, which is refused")


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the constants of a graph, those of its nodes and of the graphs inside them too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else ())):
                yield from _tensors(inner)


def without_weights(model: onnx.ModelProto, file: Path | None = None) -> onnx.ModelProto:
    """Return a copy of a model without the values of its larger constants.

    file: one that the model was read from. Constants that can be used where they lie in it are
        named as its external data, all others keep their values. None: no large one has any.
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
        elif file is None and math.prod(constant.dims) >= _LARGE:
            bare.graph.initializer.add(
                name=constant.name, data_type=constant.data_type, dims=constant.dims
            )
        else:
            bare.graph.initializer.append(constant)
    return bare


def _located(file: Path) -> dict[str, TensorProto]:
    """Return the constants of an ONNX file that are named by where they lie in it."""
    graph = onnx.ModelProto.FromString(bare_model(file, located=True)).graph
    return {constant.name: constant for constant in graph.initializer if constant.external_data}


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """Return what an ONNX model says about itself."""
    return {entry.key: entry.value for entry in model.metadata_props}


def write_onnx(model: onnx.ModelProto, matrices: Mapping[str, np.ndarray], path: Path) -> None:
    """Write a model with further float32 constants, without a copy of them in memory.

    The constants are appended to the serialised graph, whose length counts them in. Each begins at
    a multiple of _ALIGNED bytes of the file, where it can be used as it lies.
    """
    head = onnx.ModelProto()
    head.CopyFrom(model)
    head.ClearField("graph")
    head_bytes = head.SerializeToString()
    body = [model.graph.SerializeToString()]
    arrays = {name: np.ascontiguousarray(array, "<f4") for name, array in matrices.items()}
    size = len(body[0]) + sum(array.nbytes + 4 * _ALIGNED for array in arrays.values())
    place = len(head_bytes) + len(delimited_start(GRAPH, size)) + len(body[0])
    for name, array in arrays.items():
        start = _aligned_start(name, array, place)
        body += [start, array.data.cast("B")]
        place += len(start) + array.nbytes
    with path.open("wb") as file:
        file.write(head_bytes)
        file.write(delimited_start(GRAPH, sum(map(len, body))))
        file.writelines(body)


def _aligned_start(name: str, array: np.ndarray, place: int) -> bytes:
    """Return all of a constant but its values, of such a length that these are aligned.

    place: where it begins in the file.
    """
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=array.shape)
    described = tensor.SerializeToString()
    start = b""
    for padding in range(2 * _ALIGNED):  # a longer padding may take a longer number
        fields = described + delimited(_DOC_STRING, b" " * padding)
        fields += delimited_start(RAW_DATA, array.nbytes)
        start = delimited_start(INITIALIZER, len(fields) + array.nbytes) + fields
        if (place + len(start)) % _ALIGNED == 0:
            break
    return start
