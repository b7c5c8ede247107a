"""ONNX files: strangers' are read as data, ours written without a copy of their weights."""

import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import TensorProto, external_data_helper

from cache.failures import Failure, first_line
from engine.graphs.external import refuse_other_files, says_where
from engine.graphs.model_file import data_file

# What a constant's place in a data file is a multiple of.
_ALIGNED = 64

# Bytes of a constant from which on it goes into the data file.
_LARGE_BYTES = 4096

# Values in a constant from which on a graph without weights has none of it.
_LARGE_VALUES = 1024


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read a user's ONNX file, and the files in its folder that its larger constants lie in.

    An output that it lists several times, which ONNX's checker allows, is in the model once.

    Raises:
        Failure: it is not a valid one, or keeps weights elsewhere, which is refused.
    """
    model = _loaded(path, beside=True)
    try:
        onnx.checker.check_model(path)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise Failure(f"{path} is not a valid ONNX file: {first_line(error)}") from error
    outputs = {entry.name: entry for entry in model.graph.output}
    if len(outputs) < len(model.graph.output):
        del model.graph.output[:]
        model.graph.output.extend(outputs.values())
    return model


def load_onnx(path: Path) -> onnx.ModelProto:
    """Read a model of ours and its data file, without looking whether ONNX knows its nodes."""
    return _loaded(path, beside=False)


def _loaded(path: Path, *, beside: bool) -> onnx.ModelProto:
    try:
        model = _read_graph(path)
        refuse_other_files(path, model, beside=beside)
        for constant in filter(says_where, model.graph.initializer):
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
    refuse_other_files(path, model, beside=False)
    attributes = [attribute for node in model.graph.node for attribute in node.attribute]
    inner = any(a.HasField("g") or a.graphs or a.HasField("sparse_tensor") for a in attributes)
    if inner or model.functions or model.graph.sparse_initializer:
        raise Failure(f"{path} is not a model that Onceover wrote; it is refused")


def _read_graph(path: Path) -> onnx.ModelProto:
    return onnx.load(path, format="protobuf", load_external_data=False)


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
