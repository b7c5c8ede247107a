"""A fourth channel of nothing, so that the first convolution of an int8 model runs faster.

ONNX Runtime's direct integer kernel wants channels in fours (MLAS, `MlasConvSymPackWSize`), and
pixels have three: it gathers them for a matrix product instead. Where `pixel_groups` does not fit,
one of the three is repeated, with weights of zero. The sums are of the same integers, and so the
results are the same (docs/decisions/057-a-fourth-channel.md).
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from engine.graphs import walk
from engine.quantization.pixel_input import PIXELS

_COLOURS = 3

# Where the kernel gains less than moving the pixels costs, see docs/decisions/057: larger strides
# than this, and fewer channels of output than this, or such as the kernel does not take.
_STRIDE, _OUTPUTS, _MULTIPLE = 2, 16, 4


def repeat_channel(int8: onnx.ModelProto) -> bool:
    """Make an int8 model of `engine.quantization.quantize` begin so; False where it does not fit.

    Left as they are: pixels that no convolution with int8 weights reads first, and convolutions
    that would not gain by it.
    """
    graph = int8.graph
    makers = {node.output[0]: node for node in graph.node}
    pixels = makers.get(f"{PIXELS}/dq")
    if pixels is None:
        return False
    (first,) = walk.consumers(graph.node)[pixels.output[0]]
    weights = makers.get(first.input[1])
    if weights is None:
        return False  # a float layer, whose weights are no integers
    constants = walk.constants(graph)
    kernel = numpy_helper.to_array(constants[weights.input[0]])  # (O, 3, KH, KW)
    strides = walk.attributes(first).get("strides", [1, 1])
    if max(strides) > _STRIDE or len(kernel) < _OUTPUTS or len(kernel) % _MULTIPLE:
        return False
    spread = np.concatenate([kernel, np.zeros_like(kernel[:, :1])], axis=1)
    constants[weights.input[0]].CopyFrom(numpy_helper.from_array(spread, weights.input[0]))
    source = makers[pixels.input[0]]
    if source.op_type == "Concat":  # pixels with a border of their own are plane by plane already
        source.input.append(source.input[0])
        return True
    planes = [f"{PIXELS}/channel_{number}" for number in range(_COLOURS)]
    ones = numpy_helper.from_array(np.ones(_COLOURS, np.int64), f"{PIXELS}/split")
    graph.initializer.append(ones)
    nodes = [
        helper.make_node("Split", [source.output[0], ones.name], planes, axis=1),
        helper.make_node("Concat", [*planes, planes[0]], [f"{PIXELS}/four"], axis=1),
    ]
    pixels.input[0] = f"{PIXELS}/four"
    behind = 1 + [node.output[0] for node in graph.node].index(source.output[0])
    walk.replace_nodes(graph, [*graph.node[:behind], *nodes, *graph.node[behind:]])
    return True
