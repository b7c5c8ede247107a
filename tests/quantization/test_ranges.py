"""Ranges and channel means of the activations of a network, in float and off an int8 model."""

import copy

import numpy as np
import onnx
import pytest
from int8_samples import kernel, model, node, pictures, run, session_of

import engine.graphs.files
import engine.graphs.session
import engine.quantization.quantize
from engine.backbones.preprocessing import NETWORK_INPUT, PREPROCESSINGS
from engine.quantization.network import float_network
from engine.quantization.pixel_input import PIXELS
from engine.quantization.quantize import IN_FLOAT, over_more_images, quantize
from engine.quantization.ranges import calibrate, seen_in_int8, with_room
from engine.quantization.rounding import round_layers

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
    proto = model(NODES, CONSTANTS, "out", "torch", opset)
    return float_network(proto, PREPROCESSINGS["torch"], fold=False)


# 7 is no multiple of the batch: its last images count no more than the others.
@pytest.mark.parametrize("images", [1, 4, 7])
@pytest.mark.parametrize("opset", [13, 17, 18, 21])
@pytest.mark.parametrize("large", [None, 1, 4096])  # from how many bytes on constants are mapped
def test_they_are_those_of_all_images_at_once(opset, images, large, monkeypatch, tmp_path):
    floats, pixels = network(opset), pictures(images)
    proto, plan = floats.model, floats.plan
    before = proto.SerializeToString(deterministic=True)
    file = None if large is None else tmp_path / "model.onnx"
    if file is not None:
        monkeypatch.setattr(engine.graphs.files, "_LARGE_BYTES", large)
        engine.graphs.files.write_onnx(copy.deepcopy(proto), file)
    found = calibrate(floats, pixels, file)
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
    floats, pixels = network(), pictures(23)
    first = calibrate(floats, pixels)
    monkeypatch.setattr(engine.graphs.session, "available_cores", lambda: 7)
    for site, activations in calibrate(floats, pixels).items():
        assert (activations.low, activations.high) == (first[site].low, first[site].high)
        if activations.means is not None:
            assert activations.means.tolist() == first[site].means.tolist()


# Ranges over many images, read off an int8 model.

ROUNDED = [
    node("Conv", f"{NETWORK_INPUT} k0", "a", pads=[1, 1, 1, 1]),
    node("Relu", "a", "b"),
    node("Conv", "b k1 bias", "c"),  # of either sign
    node("MaxPool", "c", "m", kernel_shape=[2, 2]),
    node("Conv", "m k2", "d"),
    node("GlobalAveragePool", "d", "p"),
    node("Flatten", "p", "features"),
]
KERNELS = {
    "k0": kernel(8, 3, 3, 3),
    "k1": kernel(8, 8, 3, 3),
    "bias": np.linspace(-1, 1, 8).astype(np.float32),
    "k2": kernel(8, 8, 1, 1),
}


def few_and_all(pixels):
    """Return a network, its activations on the first images, those widened, and those of all."""
    floats = float_network(model(ROUNDED, KERNELS, "features", "torch"), PREPROCESSINGS["torch"])
    known = calibrate(floats, pixels[:IN_FLOAT])
    layers = round_layers(floats, known, levels=127)
    widened = over_more_images(floats, known, layers, pixels[IN_FLOAT:])
    return floats, known, widened, calibrate(floats, pixels)


def contrasts(*contrast):
    """Return pictures, one for each contrast, about a middle grey."""
    deviations = pictures(len(contrast)).astype(float) - 128
    return np.clip(deviations * np.reshape(contrast, (-1, 1, 1, 1)) + 128, 0, 255).astype(np.uint8)


def test_they_take_in_what_all_images_need():
    floats, known, widened, every = few_and_all(contrasts(*[0.5] * IN_FLOAT, *[0.8] * 15))
    assert set(widened) == set(floats.plan.sites)
    for site in floats.plan.sites:
        if site == PIXELS:  # integers as they come, with a range of their own
            continue
        # Off by what eight bits with room leave open, and by what rounding does to the tensor.
        slack = 0.03 * (every[site].high - every[site].low)
        assert widened[site].low == pytest.approx(every[site].low, abs=slack)
        assert widened[site].high == pytest.approx(every[site].high, abs=slack)
        assert widened[site].low <= known[site].low
        assert widened[site].high >= known[site].high
        assert known[site].high < 0.8 * every[site].high
        if known[site].means is not None:
            assert widened[site].means.tolist() == known[site].means.tolist()


def test_an_image_beyond_all_room_is_clipped():
    floats, known, widened, every = few_and_all(contrasts(*[0.05] * IN_FLOAT, 1.0))
    assert every["b"].high > 4 * known["b"].high
    room = with_room(floats, known)["b"].high
    assert known["b"].high < widened["b"].high <= room * 1.001


def test_a_site_that_no_image_reaches_stays_as_it_is():
    _, known, widened, _ = few_and_all(contrasts(*[0.0] * 12))
    for site, found in known.items():
        assert (widened[site].low, widened[site].high) == pytest.approx(
            (found.low, found.high), abs=1e-6 + 0.02 * (found.high - found.low)
        )


def test_images_after_the_first_few_are_run_in_int8_alone(monkeypatch):
    in_float = []

    def counting(floats, pixels, file=None):
        in_float.append(len(pixels))
        return calibrate(floats, pixels, file)

    def seen(int8, quantizers, activations, pixels):
        in_int8.append(len(pixels))
        return seen_in_int8(int8, quantizers, activations, pixels)

    in_int8 = []
    monkeypatch.setattr(engine.quantization.quantize, "calibrate", counting)
    monkeypatch.setattr(engine.quantization.quantize, "seen_in_int8", seen)
    network = model(ROUNDED, KERNELS, "features", "torch")
    expected = run(network, pictures(20, seed=3))
    pixels = contrasts(*[0.4] * IN_FLOAT, *[0.75] * 16)
    int8 = quantize(network, PREPROCESSINGS["torch"], pixels, levels=127)
    assert (in_float, in_int8) == ([IN_FLOAT], [16])
    onnx.checker.check_model(int8, full_check=True)
    assert [output.name for output in int8.graph.output] == ["features"]
    got = run(int8, pictures(20, seed=3))
    assert np.linalg.norm(got - expected) < 0.05 * np.linalg.norm(expected)

    monkeypatch.setattr(engine.quantization.quantize, "over_more_images", lambda *a: a[1])
    narrow = quantize(
        model(ROUNDED, KERNELS, "features", "torch"), PREPROCESSINGS["torch"], pixels, levels=127
    )
    clipped = run(narrow, pictures(20, seed=3))
    assert np.linalg.norm(clipped - expected) > 2 * np.linalg.norm(got - expected)


def test_no_range_exceeds_what_a_clip_lets_through():
    """A Clip that saturation does not stand for is not fused: MobileNetV2 ran five times slower."""
    nodes = [node("Clip", "a zero six", "b"), *ROUNDED[2:]]
    more = {"zero": np.float32(0), "six": np.float32(0.7)}
    network = model([ROUNDED[0], *nodes], {**KERNELS, **more}, "features", "torch")
    int8 = quantize(
        network, PREPROCESSINGS["torch"], contrasts(*[0.1] * IN_FLOAT, *[0.3] * 9), levels=127
    )
    assert "Clip" not in [entry.op_type for entry in int8.graph.node]
