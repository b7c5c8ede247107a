"""From a traced network and its weights to one checked ONNX file: pixels in, features out."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from cache.failures import Failure, first_line
from engine.backbones.preprocessing import NETWORK_INPUT, Preprocessing
from engine.exporters.means import write_out_means
from engine.exporters.network import Graph
from engine.exporters.pixels import preprocessing_nodes
from engine.exporters.pooling import pooling_nodes
from engine.graphs.files import write_onnx
from engine.graphs.walk import needed, rename_reads, replace_nodes

# Goes before each name of the network, so that no name of ours is taken.
_PREFIX = "network/"

# The first version of the format in which a constant need not be an input too.
_IR_VERSION = 4


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
        data = model.SerializeToString()
        try:
            onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # each of ONNX Runtime's errors is an Exception of its own
            if shutil.disk_usage(folder).free < len(data):  # which none of them says
                raise Failure(
                    f"{Path(folder).parent} is full: free {len(data) / 1e6:.1f} MB there, or name "
                    "another folder in TMPDIR"
                ) from error
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
    rename_reads(proto.node, {graph.image: NETWORK_INPUT})
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
    (output,) = (entry for entry in proto.output if entry.name == graph.output)
    rank = len(output.type.tensor_type.shape.dim)
    nodes = pooling_nodes(graph.pool, graph.output, rank, channels_last=graph.channels_last)
    proto.node.extend(nodes)
    last = nodes[-1].output[0] if nodes else graph.output
    proto.node.append(helper.make_node("Flatten", [last], ["features"], axis=1))
    del proto.output[:]
    shape: list[str | int | None] = ["N", graph.features]
    proto.output.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, shape))
    replace_nodes(proto, needed(proto.node, ["features"]))
