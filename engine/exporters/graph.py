"""From a traced network and its weights to one checked ONNX file: pixels in, features out."""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from cache.failures import Failure, UsageFailure, first_line
from cache.space import MAX_DIMENSION
from engine.backbones.preprocessing import NETWORK_INPUT, Preprocessing
from engine.backbones.request import MAX_SIDE
from engine.exporters.means import write_out_means
from engine.exporters.pixels import preprocessing_nodes
from engine.graphs.files import write_onnx
from engine.graphs.walk import constants, needed, replace_nodes

# Goes before each name of the network, so that no name of ours is taken.
_PREFIX = "network/"

# The first version of the format in which a constant need not be an input too.
_IR_VERSION = 4


@dataclass(frozen=True)
class Graph:
    """A network as an ONNX graph with its weights beside it.

    model: takes `image` and gives `output`, perhaps among others.
    weights: float32 arrays by the names of its further inputs; `write_model` empties it, so that
        no two copies of them need memory at once.
    image: name of the input, float32 (N, 3, H, W) or (N, H, W, 3).
    size: (H, W).
    features: floats per image at `output`, pooled by `pool` and flattened.
    pool: none, avg or max, over the positions of a map or over tokens.
    channels_last: whether a map at `output` is (N, H, W, C), not (N, C, H, W).
    """

    model: onnx.ModelProto
    weights: dict[str, np.ndarray]
    image: str
    output: str
    size: tuple[int, int]
    features: int
    pool: str = "none"
    channels_last: bool = False

    @property
    def channels_first(self) -> bool:
        """Whether the images are (N, 3, H, W)."""
        (image,) = (entry for entry in self.model.graph.input if entry.name == self.image)
        return bool(image.type.tensor_type.shape.dim[1].dim_value == 3)


def graph_of(
    model: onnx.ModelProto,
    weights: dict[str, np.ndarray],
    layer: str | None,
    pixel: int = TensorProto.FLOAT,
) -> Graph:
    """Return the graph of an ONNX model, cut at its output `layer`, or at the only one.

    pixel: the type that its input must have.

    Raises:
        Failure: it does not take one batch of RGB images of a fixed size, of type `pixel`, or
            does not give float32.
        UsageFailure: it has no such output, or several and none was named.
    """
    known = constants(model.graph).keys() | weights.keys()
    images = [entry for entry in model.graph.input if entry.name not in known]
    shapes = [[d.dim_value for d in i.type.tensor_type.shape.dim] for i in images]
    if len(images) != 1 or len(shapes[0]) != 4 or 3 not in (shapes[0][1], shapes[0][3]):
        raise Failure(f"the network takes inputs of shapes {shapes}, not one batch of RGB images")
    height, width = shapes[0][2:] if shapes[0][1] == 3 else shapes[0][1:3]
    if not height or not width:
        raise Failure("the network does not say the size of the images that it takes")
    if not 0 < min(height, width) <= max(height, width) <= MAX_SIDE:
        raise Failure(
            f"the network takes images of {height} x {width} pixels; a backbone takes sides of "
            f"1 to {MAX_SIDE}"
        )
    outputs = {entry.name: entry for entry in model.graph.output}
    if layer is None and len(outputs) > 1:
        choices = " or ".join(outputs)
        raise UsageFailure(f"the network has several outputs; choose one: --layer {choices}")
    name = layer or next(iter(outputs))
    if name not in outputs:
        raise UsageFailure(f"the network has no output {name!r}; it has: {', '.join(outputs)}")
    features = math.prod(d.dim_value for d in outputs[name].type.tensor_type.shape.dim[1:])
    if features <= 0:
        raise Failure(f"the network does not say how many values its output {name} has")
    if features > MAX_DIMENSION:
        raise Failure(
            f"the network's output {name} has {features} values an image, a cache takes up to "
            f"{MAX_DIMENSION}; choose another layer"
        )
    for entry, wanted in ((images[0], pixel), (outputs[name], TensorProto.FLOAT)):
        kind = entry.type.tensor_type.elem_type
        if kind != wanted:
            found, named = map(_type_name, (kind, wanted))
            raise Failure(f"the network's {entry.name} is of {found}, not of {named}")
    return Graph(model, weights, images[0].name, name, (height, width), features)


def _type_name(kind: int) -> str:
    return str(TensorProto.DataType.Name(kind)).lower()


def write_model(
    graph: Graph, preprocessing: Preprocessing, metadata: Mapping[str, str], path: Path
) -> None:
    """Write a backbone as a checked ONNX file with its data file beside it.

    It takes `images`, uint8 (N, H, W, 3) RGB, and gives `features`, float32 (N, D).
    ONNX Runtime folds what is constant (transposes of weights, batch normalisation) by its
    portable optimisations, once and here. `graph` is used up.

    Raises:
        Failure: ONNX Runtime does not take the network, or not what became of it.
    """
    graph = _prefixed(graph)
    _take_pixels(graph, preprocessing)
    _give_features(graph)
    proto = graph.model.graph
    # Matrices are used as they are. They stay inputs while the rest is folded, and their bytes go
    # straight to the data file: VGG16's are half a gigabyte.
    matrices = {name: array for name, array in graph.weights.items() if array.ndim == 2}
    for name in graph.weights.keys() - matrices.keys():
        proto.initializer.append(numpy_helper.from_array(graph.weights[name], name))
    inputs = [entry for entry in proto.input if entry.name not in graph.weights]
    inputs += [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
        for name, array in matrices.items()
    ]
    del proto.input[:]
    proto.input.extend(inputs)
    write_out_means(graph.model)
    model = _folded(graph.model)
    del model.graph.input[1:]
    model.ir_version = max(model.ir_version, _IR_VERSION)
    helper.set_model_props(model, dict(metadata))
    write_onnx(model, path, matrices)
    graph.weights.clear()
    matrices.clear()
    try:
        onnx.checker.check_model(path)
    except onnx.checker.ValidationError as error:
        raise Failure(
            f"the network is not valid ONNX once exported: {first_line(error)}"
        ) from error


def _prefixed(graph: Graph) -> Graph:
    """Return a graph with `_PREFIX` before its names; it takes over the weights of `graph`."""
    weights = {f"{_PREFIX}{name}": array for name, array in graph.weights.items()}
    graph.weights.clear()
    return replace(
        graph,
        model=onnx.compose.add_prefix(graph.model, _PREFIX),
        weights=weights,
        image=f"{_PREFIX}{graph.image}",
        output=f"{_PREFIX}{graph.output}",
    )


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let ONNX Runtime compute what is constant, and fuse, by its portable optimisations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # each of ONNX Runtime's errors is an Exception of its own
            raise Failure(f"ONNX Runtime does not take the network: {first_line(error)}") from error
        folded = onnx.load(path)
    # ONNX Runtime lists all operator sets that it knows.
    used = {node.domain for node in folded.graph.node}
    kept = [entry for entry in folded.opset_import if entry.domain in used]
    del folded.opset_import[:]
    folded.opset_import.extend(kept)
    return folded


def _take_pixels(graph: Graph, preprocessing: Preprocessing) -> None:
    """Put the preprocessing before the network's image input."""
    proto = graph.model.graph
    for node in proto.node:
        node.input[:] = [NETWORK_INPUT if name == graph.image else name for name in node.input]
    (image,) = (entry for entry in proto.input if entry.name == graph.image)
    nodes, new = preprocessing_nodes(
        preprocessing,
        "images",
        NETWORK_INPUT,
        channels_first=image.type.tensor_type.shape.dim[1].dim_value == 3,
    )
    inputs = [entry for entry in proto.input if entry.name != graph.image]
    del proto.input[:]
    replace_nodes(proto, [*nodes, *proto.node])
    proto.initializer.extend(new)
    pixels = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", *graph.size, 3])
    proto.input.extend([pixels, *inputs])


def _give_features(graph: Graph) -> None:
    """Name the output `features`, make it (N, D), and drop the others with what made them."""
    proto = graph.model.graph
    pooled = _pooled(graph) if graph.pool != "none" else graph.output
    proto.node.append(helper.make_node("Flatten", [pooled], ["features"], axis=1))
    del proto.output[:]
    shape: list[str | int | None] = ["N", graph.features]
    proto.output.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, shape))
    replace_nodes(proto, needed(proto.node, ["features"]))


def pooled(graph: Graph, pool: str, *, channels_last: bool) -> Graph:
    """Return a graph whose output, a map or tokens, is to be pooled.

    channels_last: whether a map there is (N, H, W, C). Tokens are (N, T, C).

    Raises:
        UsageFailure: its output is neither.
    """
    if pool == "none":
        return graph
    (output,) = (entry for entry in graph.model.graph.output if entry.name == graph.output)
    sizes = [dim.dim_value for dim in output.type.tensor_type.shape.dim]
    if len(sizes) not in (3, 4):
        raise UsageFailure(
            f"the network's output {graph.output} has no positions to pool over: it gives vectors; "
            "leave the pooling out, or choose an earlier layer"
        )
    channels = sizes[-1 if channels_last or len(sizes) == 3 else 1]
    if channels <= 0:
        raise Failure(f"the network does not say how many channels its output {graph.output} has")
    return replace(graph, features=channels, pool=pool, channels_last=channels_last)


def _pooled(graph: Graph) -> str:
    """Add the nodes that pool the output; return the name of what they give, (N, C, ...)."""
    proto = graph.model.graph
    (output,) = (entry for entry in proto.output if entry.name == graph.output)
    rank = len(output.type.tensor_type.shape.dim)
    source = graph.output
    if rank == 3 or graph.channels_last:
        perm = [0, rank - 1, *range(1, rank - 1)]
        proto.node.append(helper.make_node("Transpose", [source], ["channels_first"], perm=perm))
        source = "channels_first"
    operator = {"avg": "GlobalAveragePool", "max": "GlobalMaxPool"}[graph.pool]
    proto.node.append(helper.make_node(operator, [source], ["pooled"], name="pooling"))
    return "pooled"
