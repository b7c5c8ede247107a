"""Four pixels to a position, so that the first convolution of an int8 model runs faster.

ONNX Runtime's direct integer kernel wants channels in fours (MLAS, `MlasConvSymPackWSize`), and
pixels have three: it gathers them for a matrix product instead. Four pixels side by side are
twelve channels, and lie in memory so already. With a stride of two each such position gives two
outputs side by side, by a kernel in which the weights are spread and the rest is zero. The sums
are of the same integers, and so the results are the same
(docs/decisions/054-four-pixels-to-a-position.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from engine.graphs import walk
from engine.quantization.pixel_input import PIXELS

_PIXELS, _STRIDE = 4, 2
_OUTPUTS = _PIXELS // _STRIDE  # of a position, side by side


@dataclass(frozen=True)
class _Beginning:
    """The nodes that an int8 model begins with, and the constants of the convolution among them.

    transposed: pixels, channels first. first: the convolution. rounded: of its result.
    weights: the name of its int8 kernel. parameters: names of all its constants, it among them.
    """

    transposed: onnx.NodeProto
    first: onnx.NodeProto
    rounded: onnx.NodeProto
    weights: str
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class _Spread:
    """A convolution over groups of pixels.

    kernel: int8 (2 O, 12, KH, groups). pads: as the operator takes them. outputs: its rows and
    columns once outputs side by side are apart.
    """

    kernel: np.ndarray
    pads: list[int]
    outputs: tuple[int, int]


def group_pixels(int8: onnx.ModelProto) -> bool:
    """Make an int8 model of `engine.quantization.quantize` begin so; False where it would not fit.

    Left as they are: strides but two, dilations, a width that is no multiple of four or not known,
    an odd number of output columns, pixels with a border of their own, and a convolution that is
    not rounded at once.
    """
    graph = int8.graph
    beginning = _beginning(graph)
    if beginning is None:
        return False
    constants = walk.constants(graph)
    attributes = walk.attributes(beginning.first)
    height, width = (size.dim_value for size in graph.input[0].type.tensor_type.shape.dim[1:3])
    kernel = numpy_helper.to_array(constants[beginning.weights])
    spread = _spread(kernel, attributes, height, width)
    if spread is None:
        return False
    for name in beginning.parameters:
        each = numpy_helper.to_array(constants[name])
        values = spread.kernel if name == beginning.weights else np.concatenate([each] * _OUTPUTS)
        constants[name].CopyFrom(numpy_helper.from_array(values, name))
    del beginning.first.attribute[:]
    beginning.first.attribute.extend(
        helper.make_attribute(name, value)
        for name, value in {"strides": [_STRIDE, 1], "pads": spread.pads}.items()
    )
    _reshape(graph, beginning, [0, height, width // _PIXELS, 3 * _PIXELS], spread.outputs)
    return True


def _beginning(graph: onnx.GraphProto) -> _Beginning | None:
    """Return what a graph begins with; None where that is not a convolution rounded at once."""
    readers = walk.consumers(graph.node)
    makers = {node.output[0]: node for node in graph.node}
    pixels = makers.get(f"{PIXELS}/dq")
    if pixels is None or makers[pixels.input[0]].op_type != "Transpose":
        return None
    first = readers[pixels.output[0]][0]
    following = readers.get(first.output[0], [])
    seen_outside = first.output[0] in (output.name for output in graph.output)
    if seen_outside or [node.op_type for node in following] != ["QuantizeLinear"]:
        return None
    if any(name not in makers for name in first.input[1:]):
        return None  # a float layer, whose weights are no integers
    parameters = [makers[name] for name in first.input[1:]]  # of the weights and of the bias
    return _Beginning(
        makers[pixels.input[0]],
        first,
        following[0],
        parameters[0].input[0],
        tuple(name for node in parameters for name in node.input),
    )


def _reshape(
    graph: onnx.GraphProto, beginning: _Beginning, grouped: list[int], outputs: tuple[int, int]
) -> None:
    """Put groups of pixels before a convolution, and its outputs side by side apart after it.

    grouped: the shape of pixels in groups. outputs: rows and columns of the outputs apart.
    """
    result = beginning.rounded.output[0]
    beginning.rounded.output[0] = f"{result}/grouped"
    (channels,) = (c.dims[0] for c in graph.initializer if c.name == beginning.weights)
    sizes = {
        f"{PIXELS}/sizes": grouped,
        f"{result}/sizes": [0, *outputs, channels // _OUTPUTS],
    }
    graph.initializer.extend(
        numpy_helper.from_array(np.array(size, np.int64), name) for name, size in sizes.items()
    )
    source = beginning.transposed.input[0]
    beginning.transposed.input[0] = f"{PIXELS}/grouped"
    before = helper.make_node("Reshape", [source, f"{PIXELS}/sizes"], [f"{PIXELS}/grouped"])
    # Channels last, where the two outputs of a position follow each other.
    last, apart = f"{result}/last", f"{result}/apart"
    after = [
        helper.make_node("Transpose", [f"{result}/grouped"], [last], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", [last, f"{result}/sizes"], [apart]),
        helper.make_node("Transpose", [apart], [result], perm=[0, 3, 1, 2]),
    ]
    outputs_of = [node.output[0] for node in graph.node]
    behind = 1 + outputs_of.index(f"{result}/grouped")
    walk.replace_nodes(graph, [before, *graph.node[:behind], *after, *graph.node[behind:]])


def _spread(
    kernel: np.ndarray, attributes: Mapping[str, Any], height: int, width: int
) -> _Spread | None:
    """Return a convolution over groups that does what one over pixels does; None if none fits.

    kernel: int8 (O, 3, KH, KW), of a Conv with `attributes` over (N, 3, height, width).
    """
    outputs, channels, rows, columns = kernel.shape
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    if attributes.get("strides", [1, 1]) != [_STRIDE, _STRIDE]:
        return None
    if attributes.get("dilations", [1, 1]) != [1, 1] or not height or not width or width % _PIXELS:
        return None
    out_height = (top + height + bottom - rows) // _STRIDE + 1
    out_width = (left + width + right - columns) // _STRIDE + 1
    if out_width % _OUTPUTS:
        return None
    before = -(-left // _PIXELS)  # groups of padding
    shift = before * _PIXELS - left
    groups = -(-(shift + _STRIDE * (_OUTPUTS - 1) + columns) // _PIXELS)
    behind = out_width // _OUTPUTS - 1 + groups - before - width // _PIXELS
    spread = np.zeros((_OUTPUTS, outputs, channels, rows, groups * _PIXELS), kernel.dtype)
    for number in range(_OUTPUTS):
        start = shift + _STRIDE * number
        spread[number, ..., start : start + columns] = kernel
    spread = spread.reshape(_OUTPUTS, outputs, channels, rows, groups, _PIXELS)
    spread = spread.transpose(0, 1, 5, 2, 3, 4)  # a group is (pixel, channel) in memory
    spread = spread.reshape(_OUTPUTS * outputs, _PIXELS * channels, rows, groups)
    return _Spread(spread, [top, before, bottom, behind], (out_height, out_width))
