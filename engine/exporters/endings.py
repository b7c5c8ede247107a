"""What is said of where a user's network ends, when nobody chose a layer.

A classifier's probabilities are features too, but poor ones; tokens that are flattened are many.
"""

import logging
from pathlib import Path
from typing import Any

import onnx

from engine.exporters.network import Graph
from engine.graphs.walk import constants

_log = logging.getLogger(__name__)

# Activations that make probabilities, by their names in Keras and in ONNX.
_PROBABILITIES = ("softmax", "sigmoid", "log_softmax", "logsoftmax")

# Tokens, or rows, from which on flattening is worth a warning.
_FEW = 4


def say_keras_ending(path: Path, model: Any) -> None:
    """Say what is taken of a Keras model that ends in a dense layer, and what would be before it.

    model: from its input to its output.
    """
    operation = model.outputs[0]._keras_history.operation
    activation, dense = "", operation
    if type(operation).__name__ in ("Softmax", "Activation"):
        activation = operation.name
        dense = operation.input._keras_history.operation
    if type(dense).__name__ != "Dense" or len(dense.input.shape) != 2:
        return
    function = str(getattr(dense.activation, "__name__", ""))
    kind = "probabilities" if activation or function in _PROBABILITIES else "values"
    source = dense.input._keras_history.operation
    while type(source).__name__ == "Dropout":
        source = source.input._keras_history.operation
    _say(path, (operation.name, dense.units, kind), (source.name, dense.input.shape[-1]))


def say_onnx_ending(path: Path, graph: Graph) -> None:
    """Say what is taken of an ONNX network that ends in a dense layer, and what is before it.

    graph: cut at its output.
    """
    makers = {name: node for node in graph.model.graph.node for name in node.output}
    known = constants(graph.model.graph)
    node, kind = makers.get(graph.output), "values"
    while node is not None and node.op_type in ("Identity", "Cast"):
        node = makers.get(node.input[0])
    if node is not None and node.op_type.lower() in _PROBABILITIES:
        node, kind = makers.get(node.input[0]), "probabilities"
    if node is not None and node.op_type == "Add":
        inner = next((name for name in node.input if name not in known), "")
        node = makers.get(inner)
    if node is None or node.op_type not in ("Gemm", "MatMul") or node.input[1] not in known:
        return
    sizes = known[node.input[1]].dims
    if len(sizes) != 2:
        return  # no dense layer, and for ONNX Runtime to take or not
    transposed = any(each.name == "transB" and each.i for each in node.attribute)
    width = sizes[1 if transposed else 0]
    _say(path, (graph.output, graph.features, kind), (_before(node, makers), width))


def _before(node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]) -> str:
    """Return the tensor whose values a dense layer takes, by a name that its network gives it."""
    name = str(node.input[0])
    while name in makers and makers[name].op_type in ("Identity", "Dropout"):
        name = str(makers[name].input[0])
    return name


def say_flattened(path: str, graph: Graph) -> None:
    """Warn where the tokens, or the last axis but one, of an output would be flattened."""
    (output,) = (entry for entry in graph.model.graph.output if entry.name == graph.output)
    sizes = [dim.dim_value for dim in output.type.tensor_type.shape.dim]
    if graph.pool == "none" and len(sizes) == 3 and sizes[1] > _FEW:
        _log.warning(
            "%s gives %d tokens of %d values, which are flattened to %d; average them by pool avg, "
            "or take the class token by its name as layer",
            path,
            sizes[1],
            sizes[2],
            graph.features,
        )


def _say(path: Path, taken: tuple[str, int, str], before: tuple[str, int]) -> None:
    _log.info(
        "%s is taken to its end, %s, which gives %d %s; layer %s would give the %d values before",
        path.name,
        *taken,
        *before,
    )
