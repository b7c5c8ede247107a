"""Where a graph is computed on integers, and which of its tensors are quantised for that.

Static uint8 activations and int8 weights, per output channel: what ONNX Runtime's CPU has integer
kernels for. What follows is shaped by those: an integer Conv gives integers only, so its output
is always quantised; a Gemm or MatMul may give floats, so the features of a network that ends with
one are never rounded; pooling and concatenation of integers are cheaper than of floats; averages
over all positions stay float, where they average the rounding out.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx
from onnx import numpy_helper

from engine.graphs import walk

# Operators with weights, and the axis of their output channels in the weights.
WEIGHTED: Mapping[str, int] = {"Conv": 0, "Gemm": 1, "MatMul": 1}

# How many axes those weights have: images have two of space, and no matrix is one of a batch.
_AXES: Mapping[str, int] = {"Conv": 4, "Gemm": 2, "MatMul": 2}

# Saturating a quantised tensor whose least value is 0 does what these do.
ACTIVATIONS = frozenset({"Relu", "Clip"})

# Operators that only move values, so that input and output share a scale. The first two are worth
# doing on integers whatever follows; the others go with those around them.
_REDUCING = frozenset({"MaxPool", "Concat"})
_RESHAPING = frozenset({"Reshape", "Transpose", "Flatten", "Squeeze"})
_ADDING = frozenset({"Add", "AveragePool"})


@dataclass(frozen=True)
class Plan:
    """Which nodes of a graph compute on integers, and which tensors are quantised for them.

    nodes: names of outputs (each node's first) that are computed on integers.
    sites: tensors to quantise, in the graph's order.
    group: for each site, the site whose scale it shares.
    """

    nodes: frozenset[str]
    sites: tuple[str, ...]
    group: Mapping[str, str]


def plan_quantization(graph: onnx.GraphProto, keep_float: Iterable[str] = ()) -> Plan:
    """Return the plan that quantises all it can but the nodes with outputs in `keep_float`.

    graph: its nodes in topological order.
    """
    floats = set(keep_float) | _of_squares(graph)
    constants = walk.constants(graph)
    users = walk.consumers(graph.node)
    chosen: dict[str, onnx.NodeProto] = {}
    integer: set[str] = set()  # tensors that an integer kernel gives
    for node in graph.node:
        output = node.output[0]
        if output not in floats and _can_be_integer(node, constants, integer):
            chosen[output] = node
            if node.op_type not in ("Gemm", "MatMul"):
                integer.add(activated(output, users))
    for output, node in reversed(list(chosen.items())):  # what only floats would use is left out
        followers = users.get(activated(output, users), [])
        if node.op_type in _RESHAPING | _ADDING and not any(
            user.output[0] in chosen for user in followers
        ):
            del chosen[output]
    sites: dict[str, None] = {}
    shared = _Groups()
    for output, node in chosen.items():
        inputs = data_inputs(node, constants)
        sites.update(dict.fromkeys(inputs))
        result = activated(output, users)
        if node.op_type not in ("Gemm", "MatMul") or any(
            user.output[0] in chosen for user in users.get(result, [])
        ):
            sites[result] = None
        if node.op_type in _REDUCING | _RESHAPING:
            for name in inputs:
                shared.join(result, name)
    return Plan(frozenset(chosen), tuple(sites), {site: shared.first(site) for site in sites})


def _of_squares(graph: onnx.GraphProto) -> set[str]:
    """Return the tensors that are made of squares, whose magnitudes are too far apart for 8 bits.

    `engine.exporters.lrn` sums them by a convolution.
    """
    squares = {
        node.output[0]
        for node in graph.node
        if node.op_type == "Mul" and node.input[0] == node.input[1]
    }
    return {node.output[0] for node in graph.node if squares.intersection(node.input)}


def _can_be_integer(
    node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto], integer: set[str]
) -> bool:
    inputs = data_inputs(node, constants)
    if node.op_type in WEIGHTED:
        weights = constants.get(node.input[1])
        return (
            inputs == node.input[:1]
            and weights is not None
            and len(weights.dims) == _AXES[node.op_type]
            and _plain_gemm(node)
        )
    if node.op_type in _ADDING | _REDUCING | _RESHAPING:
        return bool(inputs) and integer.issuperset(inputs)
    return False


def _plain_gemm(node: onnx.NodeProto) -> bool:
    """Tell whether a Gemm (or another node) is x W + b, with W as it is multiplied."""
    defaults = {"transA": 0, "transB": 0, "alpha": 1.0, "beta": 1.0}
    return node.op_type != "Gemm" or all(
        value == defaults[name] for name, value in walk.attributes(node).items() if name in defaults
    )


def data_inputs(node: onnx.NodeProto, constants: Iterable[str]) -> list[str]:
    """Return the inputs of a node that hold values of the images: not weights, not shapes."""
    inputs = node.input[:1] if node.op_type in _RESHAPING else node.input
    return [name for name in inputs if name and name not in constants]


def activated(output: str, users: Mapping[str, list[onnx.NodeProto]]) -> str:
    """Return the tensor after the activation that directly follows `output`, or `output`."""
    following = users.get(output, [])
    if len(following) == 1 and following[0].op_type in ACTIVATIONS:
        return str(following[0].output[0])
    return output


def activation_bounds(
    node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]
) -> tuple[float, float] | None:
    """Return what one of ACTIVATIONS lets through, its least and largest; None if it varies."""
    if node.op_type == "Relu":
        return 0.0, math.inf
    names = [*node.input[1:], "", ""][:2]
    if any(name and name not in constants for name in names):
        return None
    least, largest = (
        float(numpy_helper.to_array(constants[name]).item()) if name else bound
        for name, bound in zip(names, (-math.inf, math.inf), strict=True)
    )
    return least, largest


class _Groups:
    """Sets of sites that share a scale, each known by one of them."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def first(self, site: str) -> str:
        while site in self._parent:
            site = self._parent[site]
        return site

    def join(self, one: str, other: str) -> None:
        one, other = self.first(one), self.first(other)
        if one != other:
            self._parent[other] = one
