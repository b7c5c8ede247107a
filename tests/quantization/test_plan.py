"""Which nodes of a graph are computed on integers, and which tensors are quantised for them."""

import math

import numpy as np
import pytest
from int8_samples import graph, kernel, node
from onnx import numpy_helper

from engine.graphs.walk import consumers
from engine.quantization.plan import (
    activated,
    activation_bounds,
    data_inputs,
    plan_quantization,
)

CONSTANTS = {
    "k0": kernel(8, 3, 3, 3),
    "k1": kernel(8, 8, 3, 3),
    "dense": kernel(8, 4),
    "bias": np.zeros(4, np.float32),
    "shape": np.array([-1, 8], np.int64),
    "zero": np.float32(0),
    "six": np.float32(6),
}


def plan(*nodes, output=None, constants=CONSTANTS, keep_float=()):
    return plan_quantization(graph(nodes, constants, output or nodes[-1].output[0]), keep_float)


def test_a_convolution_gives_integers_after_its_activation():
    found = plan(node("Conv", "x k0", "a"), node("Relu", "a", "b"), node("Conv", "b k1", "c"))
    assert found.nodes == {"a", "c"}
    assert found.sites == ("x", "b", "c")
    assert found.group == {"x": "x", "b": "b", "c": "c"}


def test_a_clip_is_an_activation_too():
    found = plan(node("Conv", "x k0", "a"), node("Clip", "a zero six", "b"))
    assert (found.nodes, found.sites) == ({"a"}, ("x", "b"))


def test_an_output_used_twice_is_quantised_before_its_activation():
    nodes = [
        node("Conv", "x k0", "a"),
        node("Relu", "a", "b"),
        node("Conv", "b k1", "c"),
        node("Conv", "a k1", "d"),
    ]
    found = plan(*nodes, node("Add", "c d", "e"), node("Conv", "e k1", "f"))
    assert found.nodes == {"a", "c", "d", "e", "f"}
    assert set(found.sites) == {"x", "a", "b", "c", "d", "e", "f"}
    users = consumers(nodes)
    assert activated("a", users) == "a"
    assert activated("c", users) == "c"


def test_the_last_dense_layer_gives_floats_and_one_between_gives_integers():
    flat = [node("Conv", "x k0", "a"), node("Relu", "a", "b"), node("Flatten", "b", "flat")]
    last = plan(*flat, node("Gemm", "flat dense bias", "g"), node("Relu", "g", "features"))
    assert last.nodes == {"a", "flat", "g"}
    assert last.sites == ("x", "b", "flat")
    square = {**CONSTANTS, "square": kernel(8, 8)}
    between = plan(
        *flat,
        node("MatMul", "flat square", "m"),
        node("Relu", "m", "n"),
        node("Gemm", "n dense", "features"),
        constants=square,
    )
    assert between.nodes == {"a", "flat", "m", "features"}
    assert between.sites == ("x", "b", "flat", "n")


def test_averages_over_all_positions_stay_float_after_the_last_convolution():
    found = plan(
        node("Conv", "x k0", "a"), node("GlobalAveragePool", "a", "p"), node("Flatten", "p", "f")
    )
    assert (found.nodes, found.sites) == ({"a"}, ("x", "a"))


def test_what_moves_values_shares_their_scale():
    found = plan(
        node("Conv", "x k0", "a"),
        node("MaxPool", "a", "m", kernel_shape=[2, 2]),
        node("Conv", "m k1", "b"),
        node("Concat", "m b", "c", axis=1),
        node("Reshape", "c shape", "r"),
        node("Gemm", "r dense", "g"),
    )
    assert found.nodes == {"a", "m", "b", "c", "r", "g"}
    assert len({found.group[site] for site in ("a", "m", "b", "c", "r")}) == 1
    assert found.group["x"] == "x"
    assert found.group[found.group["a"]] == found.group["a"]
    assert "shape" not in found.sites


def test_pooling_of_floats_stays_float():
    found = plan(node("MaxPool", "x", "m", kernel_shape=[2, 2]), node("Conv", "m k0", "a"))
    assert found.nodes == {"a"}


def test_an_addition_that_only_floats_use_stays_float():
    nodes = [node("Conv", "x k0", "a"), node("Conv", "x k0", "b"), node("Add", "a b", "c")]
    assert plan(*nodes, node("GlobalAveragePool", "c", "p")).nodes == {"a", "b"}
    found = plan(*nodes, node("Relu", "c", "r"), node("Conv", "r k1", "d"))
    assert found.nodes == {"a", "b", "c", "d"}
    assert found.sites == ("x", "a", "b", "r", "d")
    assert len({found.group[site] for site in found.sites}) == 5


def test_a_chain_of_reshapes_that_only_floats_use_stays_float():
    found = plan(
        node("Conv", "x k0", "a"),
        node("Transpose", "a", "t", perm=[0, 2, 3, 1]),
        node("Flatten", "t", "f"),
        node("Sigmoid", "f", "s"),
    )
    assert found.nodes == {"a"}


@pytest.mark.parametrize(
    "stranger",
    [
        node("Conv", "x computed", "y"),
        node("Conv", "x k0 computed", "y"),
        node("Gemm", "x dense bias", "y", transB=1),
        node("Gemm", "x dense bias", "y", transA=1),
        node("Gemm", "x dense bias", "y", alpha=0.5),
        node("Gemm", "x dense bias", "y", beta=2.0),
        node("Gemm", "dense x", "y"),
        node("MatMul", "dense x", "y"),
        node("MatMul", "x batch", "y"),
        node("MatMul", "x vector", "y"),
        node("Conv", "x line", "y"),
        node("LRN", "x", "y", size=3),
    ],
    ids=lambda n: f"{n.op_type} {' '.join(n.input)}",
)
def test_what_has_no_integer_form_stays_float(stranger):
    constants = {
        **CONSTANTS,
        "batch": kernel(2, 8, 4),
        "vector": np.ones(8, np.float32),
        "line": kernel(8, 3, 3),
    }
    found = plan(node("Relu", "z", "computed"), stranger, constants=constants)
    assert (found.nodes, found.sites, dict(found.group)) == (frozenset(), (), {})


def test_default_attributes_written_out_are_plain():
    written = node("Gemm", "x dense", "y", transA=0, transB=0, alpha=1.0, beta=1.0)
    assert plan(written).nodes == {"y"}


def test_nodes_can_be_kept_float():
    nodes = [node("Conv", "x k0", "a"), node("Relu", "a", "b"), node("Conv", "b k1", "c")]
    found = plan(*nodes, keep_float=["a"])
    assert (found.nodes, found.sites) == ({"c"}, ("b", "c"))


def test_shapes_and_weights_are_no_data():
    assert data_inputs(node("Reshape", "a b", "c"), ()) == ["a"]
    assert data_inputs(node("Conv", "a k0 bias", "c"), CONSTANTS) == ["a"]
    assert data_inputs(node("Clip", "a  six", "c"), CONSTANTS) == ["a"]
    assert data_inputs(node("Add", "a b", "c"), ()) == ["a", "b"]


@pytest.mark.parametrize(
    ("activation", "bounds"),
    [
        (node("Relu", "a", "b"), (0, math.inf)),
        (node("Clip", "a least most", "b"), (-1, 6)),
        (node("Clip", "a least", "b"), (-1, math.inf)),
        (node("Clip", "a  most", "b"), (-math.inf, 6)),
        (node("Clip", "a", "b"), (-math.inf, math.inf)),
        (node("Clip", "a computed most", "b"), None),
        (node("Clip", "a least computed", "b"), None),
    ],
)
def test_bounds_of_an_activation(activation, bounds):
    values = {"least": -1, "most": 6}
    constants = {
        name: numpy_helper.from_array(np.array(value, np.float32), name)
        for name, value in values.items()
    }
    assert activation_bounds(activation, constants) == bounds
