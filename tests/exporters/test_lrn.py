"""LRN written out: the same values, by other operators."""

import numpy as np
import pytest
from int8_samples import kernel, node
from onnx import TensorProto, helper, numpy_helper

from engine.backbones.preprocessing import PREPROCESSINGS
from engine.exporters.graph import write_model
from engine.exporters.lrn import write_out_local_response
from engine.exporters.network import graph_of
from engine.graphs.session import session
from engine.quantization.plan import plan_quantization


def network(attributes, channels=7, kind=TensorProto.FLOAT):
    """Return a network of one LRN, whose number of channels is to be inferred."""
    weights = numpy_helper.from_array(
        kernel(8, channels, 1, 1).astype(helper.tensor_dtype_to_np_dtype(kind)), "k"
    )
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["r"]),
            node("LRN", "r", "n", **attributes),
            node("Conv", "n k", "y"),
        ],
        "sample",
        [helper.make_tensor_value_info("x", kind, ["N", channels, 5, 4])],
        [helper.make_tensor_value_info("y", kind, ["N", 8, 5, 4])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def values(channels=7):
    return np.random.default_rng(0).uniform(-60, 90, (3, channels, 5, 4)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3, 7])
@pytest.mark.parametrize(
    "attributes",
    [
        {"size": 5, "alpha": 0.0001, "beta": 0.75, "bias": 1.0},
        {"size": 5},
        {"size": 3, "alpha": 0.5, "beta": 0.5, "bias": 2.0},
        {"size": 1, "alpha": 0.01, "beta": 1.25},
        {"size": 13, "alpha": 0.02},
    ],
)
def test_it_gives_what_lrn_gives(attributes, channels):
    model = network(attributes, channels)
    (expected,) = session(model.SerializeToString()).run(None, {"x": values(channels)})
    write_out_local_response(model)
    assert "LRN" not in {each.op_type for each in model.graph.node}
    (found,) = session(model.SerializeToString()).run(None, {"x": values(channels)})
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


def test_an_even_size_has_one_more_channel_after_than_before():
    """ONNX Runtime takes odd sizes alone; this is what the definition says."""
    model = network({"size": 4, "alpha": 0.3, "beta": 0.75, "bias": 1.0})
    write_out_local_response(model)
    model.graph.output.append(helper.make_tensor_value_info("n", TensorProto.FLOAT, None))
    (found,) = session(model.SerializeToString()).run(["n"], {"x": values()})
    rectified = np.maximum(values(), 0)
    padded = np.pad(rectified**2, ((0, 0), (1, 2), (0, 0), (0, 0)))
    sums = sum(padded[:, start : start + 7] for start in range(4))
    np.testing.assert_allclose(found, rectified / (1 + 0.3 / 4 * sums) ** 0.75, rtol=1e-5)


def test_what_is_not_known_or_not_float32_stays():
    model = network({"size": 5})
    model.graph.input[0].type.tensor_type.shape.dim[1].Clear()
    foreign, nothing, old = network({"size": 5}), network({"size": 0}), network({"size": 5})
    foreign.graph.node[1].domain = "elsewhere"
    del foreign.graph.node[1].attribute[:]
    old.opset_import[0].version = 6
    half = network({"size": 5}, kind=TensorProto.FLOAT16)
    for unknown in (model, half, foreign, nothing, old):
        before = unknown.SerializeToString(deterministic=True)
        write_out_local_response(unknown)
        assert unknown.SerializeToString(deterministic=True) == before


def test_the_sum_of_squares_is_never_an_integer():
    model = network({"size": 5})
    model.graph.node.insert(0, helper.make_node("Conv", ["i", "k"], ["x"]))
    write_out_local_response(model)
    found = plan_quantization(model.graph)
    assert found.nodes == {"x", "y"}


@pytest.mark.parametrize("ir_version", [3, 8])
def test_an_old_file_too_becomes_a_backbone(tmp_path, ir_version):
    """In the third version of the format constants are inputs with a value."""
    model = network({"size": 3, "alpha": 0.1}, channels=3)
    model.ir_version = ir_version
    if ir_version == 3:
        model.graph.input.append(
            helper.make_tensor_value_info("k", TensorProto.FLOAT, [8, 3, 1, 1])
        )
    pixels = np.random.default_rng(1).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
    given = pixels.transpose(0, 3, 1, 2).astype(np.float32)
    (expected,) = session(model.SerializeToString()).run(None, {"x": given})
    write_out_local_response(model)
    graph = graph_of(model, {}, None)
    write_model(graph, PREPROCESSINGS["none"], {}, tmp_path / "out.onnx")
    (found,) = session(tmp_path / "out.onnx").run(None, {"images": pixels})
    expected = expected.reshape(2, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())
