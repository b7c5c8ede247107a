"""ONNX files that other exporters made, read as data: nothing outside the one file counts."""

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from cache.failures import Failure


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read an ONNX file.

    Raises:
        Failure: it is not a valid one, or keeps weights in other files, which is refused.
    """
    try:
        model = onnx.load(path, load_external_data=False)
        if any(map(onnx.external_data_helper.uses_external_data, _tensors(model.graph))):
            raise Failure(f"{path} keeps weights in other files; give one file that holds them all")
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, DecodeError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Failure(f"{path} is not a valid ONNX file: {reason}") from error
    return model


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


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """Return what an ONNX model says about itself."""
    return {entry.key: entry.value for entry in model.metadata_props}
