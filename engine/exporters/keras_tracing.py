"""What stands between some layers of Keras and a graph that ONNX knows."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from engine.graphs.walk import replace_nodes


@contextlib.contextmanager
def without_xla() -> Iterator[None]:
    """Let grouped convolutions be traced as they are: Keras compiles them, ONNX knows no such."""
    import tensorflow as tf

    function = tf.function

    def plain(code: Any = None, **options: Any) -> Any:
        if not options.get("jit_compile"):
            return function(code, **options)
        return (lambda inner: inner) if code is None else code

    tf.function = plain
    try:
        yield
    finally:
        tf.function = function


def hold_tensors_of(model: Any, values: Mapping[int, np.ndarray]) -> None:
    """Have layers that hold tensors made of their weights (`Normalization`) make them of these.

    values: by the identities of the model's variables, which may be empty.
    """
    import keras

    for layer in model._flatten_layers():
        if layer.weights and hasattr(layer, "finalize_state"):
            state = [(weight, values[id(weight)]) for weight in layer.weights]
            with keras.StatelessScope(state_mapping=state):
                layer.finalize_state()


def write_in_tensors(model: onnx.ModelProto, function: Any) -> None:
    """Make constants of the tensors that a traced function holds, which became inputs.

    `Normalization` holds its means so, and a functional network what was added to its images.

    function: of TensorFlow, with the signature that it was traced by.
    """
    captures = function.get_concrete_function().graph.captures
    held = {inner.name.partition(":")[0]: outer for outer, inner in captures}
    images = []
    for entry in model.graph.input:
        tensor = held.get(entry.name.partition(":")[0])
        if tensor is None:
            images.append(entry)
        else:
            model.graph.initializer.append(numpy_helper.from_array(tensor.numpy(), entry.name))
    del model.graph.input[:]
    model.graph.input.extend(images)


def say_output_sizes(model: onnx.ModelProto, sizes: Callable[[], Sequence[int | None]]) -> None:
    """Give the only output the sizes that Keras knows, where tracing lost them (Einsum).

    sizes: finds them, the batch's first.
    """
    output = model.graph.output[0]
    dims = output.type.tensor_type.shape.dim
    if len(model.graph.output) > 1 or (len(dims) > 1 and all(d.dim_value > 0 for d in dims[1:])):
        return
    kind = output.type.tensor_type.elem_type
    shape: list[str | int | None] = ["N", *list(sizes())[1:]]
    output.CopyFrom(helper.make_tensor_value_info(output.name, kind, shape))


def write_out_erfc(model: onnx.ModelProto) -> None:
    """Replace the complement of the error function, of which TensorFlow makes GELU, by 1 - erf."""
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "Erfc":
            nodes.append(node)
            continue
        erf, one = f"{node.output[0]}/erf", f"{node.output[0]}/one"
        model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), one))
        nodes += [
            helper.make_node("Erf", [node.input[0]], [erf]),
            helper.make_node("Sub", [one, erf], [node.output[0]], name=node.name),
        ]
    replace_nodes(model.graph, nodes)
