"""How long a convolution takes on this CPU, unsplit and split."""

import time
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.factorization.convolutions import two_directions
from engine.graphs import walk
from engine.graphs.session import session

# Runs of which the fastest counts. A session runs on the caller's thread, whose own time it is that
# counts: others share the machine.
_RUNS = 2


@dataclass(frozen=True)
class Shape:
    """A convolution's node, and the shape of what it reads: channels, height, width."""

    node: onnx.NodeProto
    read: tuple[int, ...]


def seconds(shape: Shape, kernel: tuple[int, int, int, int], rank: int | None, opset: int) -> float:
    """Return how long one image takes on one core: unsplit (None), or split to a rank.

    kernel: its shape, (O, I, KH, KW).
    """
    outputs, inputs, down, across = kernel
    attributes = walk.attributes(shape.node)
    if rank is None:
        kernels, each = [kernel], [attributes]
    else:
        kernels = [(rank, inputs, down, 1), (outputs, rank, 1, across)]
        each = list(two_directions(attributes))
    nodes = [
        helper.make_node("Conv", [f"y{n - 1}" if n else "x", f"k{n}"], [f"y{n}"], **of_node)
        for n, of_node in enumerate(each)
    ]
    nodes.append(helper.make_node("Relu", [nodes[-1].output[0]], ["y"]))
    graph = helper.make_graph(
        nodes,
        "timed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape.read])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.full(kernel, 0.01, np.float32), f"k{number}")
            for number, kernel in enumerate(kernels)
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    runner = session(model.SerializeToString())
    feeds = {"x": np.ones((1, *shape.read), np.float32)}
    runner.run(None, feeds)  # the first run allocates
    fastest = np.inf
    for _ in range(_RUNS):
        started = time.thread_time()
        runner.run(None, feeds)
        fastest = min(fastest, time.thread_time() - started)
    return float(fastest)
