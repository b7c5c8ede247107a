"""A network as an ONNX graph: what it takes, where it is cut, what it gives there."""

import math
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import TensorProto

from cache.failures import Failure, UsageFailure
from cache.space import MAX_DIMENSION
from engine.backbones.request import MAX_SIDE
from engine.graphs.walk import constants


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
        raise Failure(
            f"the network takes inputs of shapes {shapes}, not one batch of RGB images; export the "
            "part of it that takes those alone, (N, 3, H, W) or (N, H, W, 3)"
        )
    height, width = shapes[0][2:] if shapes[0][1] == 3 else shapes[0][1:3]
    if not height or not width:
        raise Failure("the network does not say the size of its images")
    if not 0 < min(height, width) <= max(height, width) <= MAX_SIDE:
        raise Failure(
            f"the network takes images of {height} x {width} pixels; a backbone takes sides of "
            f"1 to {MAX_SIDE}"
        )
    outputs = {entry.name: entry for entry in model.graph.output}
    if not outputs:
        raise Failure("the network has no output; name one of its tensors as layer")
    if layer is None and len(outputs) > 1:
        choices = " or ".join(outputs)
        raise UsageFailure(f"the network has several outputs; choose one as layer: {choices}")
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
    channels_last = channels_last or len(sizes) == 3
    channels = sizes[-1 if channels_last else 1]
    if channels <= 0:
        raise Failure(f"the network does not say how many channels its output {graph.output} has")
    return replace(graph, features=channels, pool=pool, channels_last=channels_last)
