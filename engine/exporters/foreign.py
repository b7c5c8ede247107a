"""A user's ONNX file made ready to be cut: its tensors, types and sizes as they are needed.

Any tensor may be the layer, float16 and uint8 are cast, height and width that it leaves open are
those that are asked for, and what it does not say of its output is found by running it once.
"""

import difflib
from collections.abc import Iterable
from types import MappingProxyType

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, shape_inference

from cache.failures import Failure, UsageFailure, first_line
from engine.backbones.request import BackboneRequest
from engine.exporters.free_batch import free_batch
from engine.graphs.files import without_weights
from engine.graphs.walk import attributes, constants, rename_reads, replace_nodes

_CAST = (TensorProto.FLOAT16, TensorProto.UINT8, TensorProto.DOUBLE)

# What a node that stands for a constant may hold it as, besides a tensor.
_CONSTANTS = MappingProxyType(
    {
        "value_float": np.float32,
        "value_floats": np.float32,
        "value_int": np.int64,
        "value_ints": np.int64,
    }
)

# Tensors that are named where a layer is not there.
_NAMED = 8


def made_ready(model: onnx.ModelProto, request: BackboneRequest) -> None:
    """Change a foreign model in place, so that `graph_of` can cut it.

    Raises:
        Failure: its size is not known, or it cannot be run.
        UsageFailure: it has no tensor of the name asked for, or images of another size.
    """
    _take_constants(model.graph)
    inputs = [entry for entry in model.graph.input if entry.name not in constants(model.graph)]
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
        return  # `graph_of` says what is wrong
    image = inputs[0]
    _say_channels(model.graph, image)
    _give_size(image, request)
    free_batch(model, image, _types(model))
    if request.layer is not None:
        _give_output(model, request.layer)
    _say_sizes(model, image, request)
    _cast_input(model, image)
    for output in model.graph.output:
        _cast_output(model, output)


def _take_constants(graph: onnx.GraphProto) -> None:
    """Make the nodes that stand for constants what they are, as torch's older exporter writes them.

    Whoever looks for weights, or for the axes of a mean, then looks in one place.
    """
    outputs = {entry.name for entry in graph.output}
    others = []
    for node in graph.node:
        value = None if outputs.intersection(node.output) else _constant(node)
        if value is None:
            others.append(node)
        else:
            graph.initializer.append(value)
    if len(others) < len(graph.node):
        replace_nodes(graph, others)


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """Return the constant that a node stands for; None for any other node, and for text."""
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return None
    (form, value), *_ = attributes(node).items()
    if form == "value":
        tensor = onnx.TensorProto()
        tensor.CopyFrom(value)
        tensor.name = node.output[0]
        return tensor
    kind = _CONSTANTS.get(form)
    return None if kind is None else numpy_helper.from_array(np.array(value, kind), node.output[0])


def _say_channels(graph: onnx.GraphProto, image: onnx.ValueInfoProto) -> None:
    """Say which axis holds the three channels, where a network leaves that open too.

    Hugging Face's exporter names all four axes and sizes none.
    """
    dims = image.type.tensor_type.shape.dim
    unknown = [axis for axis in (1, 3) if dims[axis].dim_value <= 0]
    if 3 in (dims[1].dim_value, dims[3].dim_value) or not unknown:
        return
    named = [axis for axis in unknown if "channel" in dims[axis].dim_param.lower()]
    readers = [node for node in graph.node if image.name in node.input]
    moved = any(attributes(node).get("perm", [])[1:2] == [3] for node in readers)
    dims[(named or ([3] if moved and 3 in unknown else unknown))[0]].dim_value = 3


def _give_size(image: onnx.ValueInfoProto, request: BackboneRequest) -> None:
    dims = image.type.tensor_type.shape.dim
    sides = (dims[2], dims[3]) if dims[1].dim_value == 3 else (dims[1], dims[2])
    size = request.geometry.size
    for side, asked in zip(sides, size or (0, 0), strict=True):
        if side.dim_value == 0 and asked:
            side.dim_value = asked
        elif side.dim_value == 0 or side.dim_value == -1:
            raise UsageFailure(
                f"{request.backbone} does not say the size of its images; give one, as size 224"
            )
        elif asked not in (0, side.dim_value):
            raise UsageFailure(
                f"{request.backbone} takes images of {sides[0].dim_value} x {sides[1].dim_value} "
                "pixels alone; leave the size out"
            )


def _give_output(model: onnx.ModelProto, layer: str) -> None:
    """Make a tensor an output. UsageFailure if there is none of that name."""
    graph = model.graph
    if layer in (output.name for output in graph.output):
        return
    known = [name for node in graph.node for name in node.output if name]
    types = _types(model)
    if layer not in known:
        # Flattened, or pooled to one position; and what may have been meant.
        vectors = [n for n in known if n in types and _is_vector(_dims(types[n]))]
        meant = difflib.get_close_matches(layer, known, 2)
        own = (output.name for output in graph.output)
        names = ", ".join(dict.fromkeys([*own, *meant, *vectors[-_NAMED:]]))
        raise UsageFailure(
            f"the network has no output {layer!r}; it has: {names} "
            "(any of its tensors may be named)"
        )
    entry = types.get(layer) or helper.make_tensor_value_info(layer, TensorProto.FLOAT, None)
    graph.output.append(entry)


def _types(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Return what is known of each tensor without running the network."""
    try:
        graph = shape_inference.infer_shapes(without_weights(model)).graph
    except (onnx.shape_inference.InferenceError, ValueError):
        return {}
    return {entry.name: entry for entry in (*graph.value_info, *graph.output)}


def _is_vector(dims: list[int]) -> bool:
    return len(dims) == 2 or (len(dims) == 4 and 1 in (dims[1], dims[3]) and dims[2] == 1)


def _dims(entry: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in entry.type.tensor_type.shape.dim]


def _say_sizes(
    model: onnx.ModelProto, image: onnx.ValueInfoProto, request: BackboneRequest
) -> None:
    """Find the sizes that an output does not say, by a run over one image."""
    layer = request.layer
    asked = [o for o in model.graph.output if layer in (None, o.name)]
    unknown = [o for o in asked if not _dims(o) or any(dim <= 0 for dim in _dims(o)[1:])]
    if not unknown or any(dim < 0 for output in unknown for dim in _dims(output)):
        return
    shape = [1, *_dims(image)[1:]]
    kind = helper.tensor_dtype_to_np_dtype(image.type.tensor_type.elem_type)
    results = _run(model, image, np.zeros(shape, kind), unknown)
    for output, values in zip(unknown, results, strict=True):
        sizes: list[str | int | None] = ["N", *values.shape[1:]]
        kind_of = helper.np_dtype_to_tensor_dtype(values.dtype)
        output.CopyFrom(helper.make_tensor_value_info(output.name, kind_of, sizes))


def _run(
    model: onnx.ModelProto,
    image: onnx.ValueInfoProto,
    values: np.ndarray,
    outputs: Iterable[onnx.ValueInfoProto],
) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        runner = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        results = runner.run([output.name for output in outputs], {image.name: values})
    except Exception as error:  # each of ONNX Runtime's errors is an Exception of its own
        raise Failure(f"the network cannot be run: {first_line(error)}") from error
    return [np.asarray(result) for result in results]


def _cast_input(model: onnx.ModelProto, image: onnx.ValueInfoProto) -> None:
    kind = image.type.tensor_type.elem_type
    if kind not in _CAST:
        return
    inner = f"{image.name}/cast"
    nodes = list(model.graph.node)
    rename_reads(nodes, {image.name: inner})
    cast = helper.make_node("Cast", [image.name], [inner], to=kind)
    image.type.tensor_type.elem_type = TensorProto.FLOAT
    replace_nodes(model.graph, [cast, *nodes])


def _cast_output(model: onnx.ModelProto, output: onnx.ValueInfoProto) -> None:
    if output.type.tensor_type.elem_type not in _CAST:
        return
    inner = f"{output.name}/uncast"
    for node in model.graph.node:
        node.output[:] = [inner if name == output.name else name for name in node.output]
    rename_reads(model.graph.node, {output.name: inner})
    model.graph.node.append(helper.make_node("Cast", [inner], [output.name], to=TensorProto.FLOAT))
    output.type.tensor_type.elem_type = TensorProto.FLOAT
