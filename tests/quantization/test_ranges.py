"""Ranges and channel means of the activations of a float network."""

import numpy as np
import pytest
from int8_samples import kernel, model, node, pictures, session_of

import engine.graphs.mapping
import engine.graphs.session
from engine.backbones.preprocessing import NETWORK_INPUT
from engine.quantization.plan import plan_quantization
from engine.quantization.ranges import calibrate

NODES = [
    node("Conv", f"{NETWORK_INPUT} k0", "a", strides=[4, 4]),
    node("Relu", "a", "b"),
    node("MaxPool", "b", "m", kernel_shape=[2, 2]),
    node("Conv", "m k1", "c"),
    node("Flatten", "c", "f"),
    node("Gemm", "f dense", "g"),
    node("MatMul", "f dense", "h"),
    node("Add", "g h", "out"),
]
CONSTANTS = {"k0": kernel(8, 3, 3, 3), "k1": kernel(8, 8, 2, 2), "dense": kernel(32, 4)}


def network(opset=17):
    return model(NODES, CONSTANTS, "out", "torch", opset)


# 7 is no multiple of the batch: its last images count no more than the others.
@pytest.mark.parametrize("images", [1, 4, 7])
@pytest.mark.parametrize("opset", [13, 17, 18, 21])
@pytest.mark.parametrize("large", [None, 1, 4096])  # from how many bytes on constants are mapped
def test_they_are_those_of_all_images_at_once(opset, images, large, monkeypatch, tmp_path):
    proto, pixels = network(opset), pictures(images)
    before = proto.SerializeToString(deterministic=True)
    plan = plan_quantization(proto.graph)
    file = None if large is None else tmp_path / "model.onnx"
    if file is not None:
        monkeypatch.setattr(engine.graphs.mapping, "_LARGE", large)
        proto.doc_string = "to have a constant where float32 may begin"
        before = proto.SerializeToString(deterministic=True)
        file.write_bytes(before)
    found = calibrate(proto, plan, pixels, file)
    assert proto.SerializeToString(deterministic=True) == before
    assert tuple(found) == plan.sites == (NETWORK_INPUT, "b", "m", "c", "f")
    for site in plan.sites:
        proto.graph.output.append(type(proto.graph.output[0])(name=site))
    values = dict(
        zip(plan.sites, session_of(proto).run(plan.sites, {"images": pixels}), strict=True)
    )
    for site, activations in found.items():
        assert activations.low == values[site].min()
        assert activations.high == values[site].max()
    axes = {NETWORK_INPUT: (0, 2, 3), "m": (0, 2, 3), "f": (0,)}
    for site, activations in found.items():
        if site in axes:
            expected = values[site].astype(np.float64).mean(axis=axes[site])
            np.testing.assert_allclose(activations.means, expected, rtol=1e-5, atol=1e-6)
        else:
            assert activations.means is None


def test_two_runs_are_equal_bit_for_bit(monkeypatch):
    proto, pixels = network(), pictures(23)
    plan = plan_quantization(proto.graph)
    first = calibrate(proto, plan, pixels)
    monkeypatch.setattr(engine.graphs.session, "available_cores", lambda: 7)
    for site, activations in calibrate(proto, plan, pixels).items():
        assert (activations.low, activations.high) == (first[site].low, first[site].high)
        if activations.means is not None:
            assert activations.means.tolist() == first[site].means.tolist()
