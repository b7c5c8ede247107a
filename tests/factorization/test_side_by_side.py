"""A network run in stages."""

import numpy as np
from int8_samples import kernel, model, node, pictures, session_of

from engine.backbones.preprocessing import NETWORK_INPUT
from engine.factorization.side_by_side import Runner, stages

CONV = {"pads": [1, 1, 1, 1]}
NODES = [
    node("Conv", f"{NETWORK_INPUT} k0", "a", **CONV),
    node("Relu", "a", "b"),
    node("Conv", "b k1", "c", **CONV),
    node("Conv", "b k2", "d", **CONV),
    node("Add", "c d", "e"),
    node("Conv", "e k3", "f", **CONV),
    node("Concat", "f b", "g", axis=1),
    node("GlobalAveragePool", "g", "p"),
    node("Flatten", "p", "features"),
]
CONSTANTS = {"k0": kernel(8, 3, 3, 3), **{f"k{n}": kernel(8, 8, 3, 3, seed=n) for n in (1, 2, 3)}}


def network():
    return model(NODES, CONSTANTS, "features")


def test_the_nodes_are_all_there_in_their_order_and_read_what_earlier_ones_give():
    proto = network()
    parts = stages(proto.graph, ["a", "c", "d", "f"])
    joined = [entry.output[0] for part in parts for entry in part.nodes]
    assert joined == [entry.output[0] for entry in proto.graph.node]
    given = {"images"}
    for part in parts:
        assert set(part.inputs) <= given
        given |= set(part.outputs)
    assert parts[-1].outputs == ("features",)
    assert [part.outputs for part in parts if part.nodes and part.nodes[0].output[0] == "c"] == [
        ("c",)
    ]
    # `b` is read by three stages, one of them the last.
    assert sum("b" in part.inputs for part in parts) == 3


def test_stages_one_after_the_other_are_the_network():
    proto, pixels = network(), pictures(7)
    runner, tensors = Runner(proto), {"images": pixels}
    for part in stages(proto.graph, ["a", "d", "f"]):
        tensors |= runner.run(part, tensors)
    expected = session_of(proto).run(None, {"images": pixels})[0]
    np.testing.assert_allclose(tensors["features"], expected, rtol=1e-4, atol=1e-4)


def test_a_network_that_ends_with_a_convolution_has_an_empty_last_stage():
    proto = model(NODES[:3], {k: CONSTANTS[k] for k in ("k0", "k1")}, "c")
    parts = stages(proto.graph, ["a", "c"])
    assert list(parts[-1].nodes) == []
    assert Runner(proto).run(parts[-1], {}) == {}
