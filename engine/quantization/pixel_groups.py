"""Four pixels to a position, so that the first convolution of an int8 model runs faster.

ONNX Runtime's direct integer kernel wants channels in fours (MLAS, `MlasConvSymPackWSize`), and
pixels have three: it gathers them for a matrix product instead. Four pixels side by side are
twelve channels, and lie in memory so already. With a stride of two each such position gives two
outputs side by side, by a kernel in which the weights are spread and the rest is zero. The sums
are of the same integers, and so the results are the same
(docs/decisions/054-four-pixels-to-a-position.md).
"""

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from engine.graphs.walk import consumers
from engine.quantization.pixel_input import PIXELS

_PIXELS, _STRIDE = 4, 2
_OUTPUTS = _PIXELS // _STRIDE  # of a position, side by side


def group_pixels(int8: onnx.ModelProto) -> bool:
    """Make an int8 model of `engine.quantization.quantize` begin so; False where it would not fit.

    Left as they are: strides but two, dilations, a width that is no multiple of four or not known,
    an odd number of output columns, pixels with a border of their own, and a convolution that is
    not rounded at once.
    """
    graph = int8.graph
    readers = consumers(graph.node)
    makers = {node.output[0]: node for node in graph.node}
    constants = {constant.name: constant for constant in graph.initializer}
    pixels = makers.get(f"{PIXELS}/dq")
    if pixels is None or makers[pixels.input[0]].op_type != "Transpose":
        return False
    transposed, first = makers[pixels.input[0]], readers[pixels.output[0]][0]
    following = readers.get(first.output[0], [])
    seen_outside = first.output[0] in (output.name for output in graph.output)
    if seen_outside or [node.op_type for node in following] != ["QuantizeLinear"]:
        return False
    if any(name not in makers for name in first.input[1:]):
        return False  # a float layer, whose weights are no integers
    rounded = following[0]
    parameters = [makers[name] for name in first.input[1:]]  # of the weights and of the bias
    weights = parameters[0].input[0]
    height, width = (size.dim_value for size in graph.input[0].type.tensor_type.shape.dim[1:3])
    attributes = {a.name: helper.get_attribute_value(a) for a in first.attribute}
    kernel = numpy_helper.to_array(constants[weights])
    grouped = _grouped(kernel, attributes, height, width)
    if grouped is None:
        return False
    spread, pads, outputs = grouped

    for name in [name for node in parameters for name in node.input]:
        each = numpy_helper.to_array(constants[name])
        values = spread if name == weights else np.concatenate([each] * _OUTPUTS)
        constants[name].CopyFrom(numpy_helper.from_array(values, name))
    del first.attribute[:]
    first.attribute.extend(
        helper.make_attribute(name, value)
        for name, value in {"strides": [_STRIDE, 1], "pads": pads}.items()
    )
    result = rounded.output[0]
    rounded.output[0] = f"{result}/grouped"
    sizes = {
        f"{PIXELS}/sizes": [0, height, width // _PIXELS, 3 * _PIXELS],
        f"{result}/sizes": [0, *outputs, len(kernel)],
    }
    graph.initializer.extend(
        numpy_helper.from_array(np.array(size, np.int64), name) for name, size in sizes.items()
    )
    source = transposed.input[0]
    transposed.input[0] = f"{PIXELS}/grouped"
    before = helper.make_node("Reshape", [source, f"{PIXELS}/sizes"], [f"{PIXELS}/grouped"])
    # Channels last, where the two outputs of a position follow each other.
    last, apart = f"{result}/last", f"{result}/apart"
    after = [
        helper.make_node("Transpose", [rounded.output[0]], [last], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", [last, f"{result}/sizes"], [apart]),
        helper.make_node("Transpose", [apart], [result], perm=[0, 3, 1, 2]),
    ]
    behind = 1 + next(n for n, node in enumerate(graph.node) if node.output[0] == rounded.output[0])
    nodes = [before, *graph.node[:behind], *after, *graph.node[behind:]]
    del graph.node[:]
    graph.node.extend(nodes)
    return True


def _grouped(
    kernel: np.ndarray, attributes: dict[str, Any], height: int, width: int
) -> tuple[np.ndarray, list[int], tuple[int, int]] | None:
    """Return the spread kernel, int8 (2 O, 12, KH, groups), its pads and how large the output is.

    kernel: int8 (O, 3, KH, KW), of a Conv with `attributes` over (N, 3, height, width). None if
    that does not fit groups.
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
    return spread, [top, before, bottom, behind], (out_height, out_width)
