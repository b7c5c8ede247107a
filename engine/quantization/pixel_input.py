"""The preprocessing folded into the first convolution, so that pixels are its integers.

With x = (p - mean) / scale per channel, W * x + b = (W / scale) * (p - z) + b', for any z. Pixels
are then quantised as they are, without any rounding, and no float is computed before the first
integer kernel. Where the convolution pads, x = 0 outside means p = mean: those pixels are put
there, rounded, and one value for each channel.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.backbones.preprocessing import Preprocessing
from engine.graphs import walk

# The tensor that the first convolution reads: pixels minus `PixelInput.zero_point`, float32.
PIXELS = "centred_pixels"


@dataclass(frozen=True)
class PixelInput:
    """Where PIXELS comes from: source, uint8 (N, 3, H, W), minus zero_point, in float32."""

    source: str
    zero_point: int


def fold_preprocessing(
    model: onnx.ModelProto, preprocessing: Preprocessing, network_input: str
) -> PixelInput | None:
    """Make a model begin so; None, and no change, where it does not begin with one convolution.

    network_input: what the preprocessing gives, (N, 3, H, W). The model gives the same but for the
    rounding of the mean outside the image, at most half a grey level, and of float32.
    """
    graph = model.graph
    constants = walk.constants(graph)
    readers = [node for node in graph.node if network_input in node.input]
    if len(readers) != 1 or readers[0].op_type != "Conv":
        return None
    if any(name and name not in constants for name in readers[0].input[1:]):
        return None
    attributes = walk.attributes(readers[0])
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or attributes.get("group", 1) != 1:
        return None
    mean, scale = np.array(preprocessing.mean), np.array(preprocessing.scale)
    weights = numpy_helper.to_array(constants[readers[0].input[1]]).astype(np.float64)
    if preprocessing.reverse_channels:
        weights = weights[:, ::-1]
    weights = weights / scale[:, None, None]
    zero_point = int(np.rint(mean.mean()))
    bias = np.einsum("oihw,i->o", weights, zero_point - mean)
    if len(readers[0].input) > 2 and readers[0].input[2]:
        bias += numpy_helper.to_array(constants[readers[0].input[2]])

    first = onnx.NodeProto()
    first.CopyFrom(readers[0])
    first.input[:] = [PIXELS, f"{PIXELS}/weights", f"{PIXELS}/bias"]
    pads = list(attributes.get("pads", [0, 0, 0, 0]))
    nodes = [helper.make_node("Transpose", ["images"], [f"{PIXELS}/nchw"], perm=[0, 3, 1, 2])]
    new = [
        numpy_helper.from_array(weights.astype(np.float32), f"{PIXELS}/weights"),
        numpy_helper.from_array(bias.astype(np.float32), f"{PIXELS}/bias"),
        numpy_helper.from_array(np.array(zero_point, np.float32), f"{PIXELS}/middle"),
    ]
    source = f"{PIXELS}/nchw"
    outside = np.rint(mean).astype(np.uint8)
    if any(pads) and len(set(outside.tolist())) > 1:
        padding, constants_of_it = _padded(source, pads, outside)
        nodes += padding
        new += constants_of_it
        source = f"{PIXELS}/padded"
        others = [attribute for attribute in first.attribute if attribute.name != "pads"]
        del first.attribute[:]
        first.attribute.extend(others)
    nodes += [
        helper.make_node("Cast", [source], [f"{PIXELS}/float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", [f"{PIXELS}/float", f"{PIXELS}/middle"], [PIXELS]),
    ]
    _begin(graph, readers[0], [*nodes, first], new)
    return PixelInput(source, zero_point)


def _padded(
    source: str, pads: list[int], outside: np.ndarray
) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """Return nodes that pad each channel of uint8 pixels (N, 3, H, W) with a value of its own."""
    top, left, bottom, right = pads
    new = [
        numpy_helper.from_array(
            np.array([0, 0, top, left, 0, 0, bottom, right], np.int64), f"{PIXELS}/pads"
        ),
        # Operator sets from 18 on want to be told.
        numpy_helper.from_array(np.ones(3, np.int64), f"{PIXELS}/split"),
    ]
    channels = [f"{PIXELS}/channel_{number}" for number in range(3)]
    nodes = [helper.make_node("Split", [source, f"{PIXELS}/split"], channels, axis=1)]
    for channel, value in zip(channels, outside, strict=True):
        new.append(numpy_helper.from_array(np.array(value), f"{channel}/outside"))
        nodes.append(
            helper.make_node(
                "Pad", [channel, f"{PIXELS}/pads", f"{channel}/outside"], [f"{channel}/padded"]
            )
        )
    nodes.append(
        helper.make_node("Concat", [f"{c}/padded" for c in channels], [f"{PIXELS}/padded"], axis=1)
    )
    return nodes, new


def _begin(
    graph: onnx.GraphProto,
    replaced: onnx.NodeProto,
    beginning: list[onnx.NodeProto],
    constants: list[TensorProto],
) -> None:
    """Put `beginning` instead of one node and of what only that one needed."""
    rest = walk.needed(
        [node for node in graph.node if node.output[0] != replaced.output[0]],
        [output.name for output in graph.output],
    )
    used = {name for node in rest for name in node.input}
    for number in reversed(range(len(graph.initializer))):
        if graph.initializer[number].name not in used:
            del graph.initializer[number]
    graph.initializer.extend(constants)
    walk.replace_nodes(graph, [*beginning, *rest])
