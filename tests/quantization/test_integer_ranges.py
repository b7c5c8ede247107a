"""Ranges of activations over many images, read off an int8 model."""

import numpy as np
import onnx
import pytest
from int8_samples import kernel, model, node, pictures, run

import engine.quantization.quantize
from engine.backbones.preprocessing import NETWORK_INPUT, PREPROCESSINGS
from engine.quantization.integer_ranges import with_room
from engine.quantization.pixel_input import PIXELS, fold_preprocessing
from engine.quantization.plan import plan_quantization
from engine.quantization.quantize import IN_FLOAT, over_more_images, quantize, round_layers
from engine.quantization.ranges import calibrate

NODES = [
    node("Conv", f"{NETWORK_INPUT} k0", "a", pads=[1, 1, 1, 1]),
    node("Relu", "a", "b"),
    node("Conv", "b k1 bias", "c"),  # of either sign
    node("MaxPool", "c", "m", kernel_shape=[2, 2]),
    node("Conv", "m k2", "d"),
    node("GlobalAveragePool", "d", "p"),
    node("Flatten", "p", "features"),
]
CONSTANTS = {
    "k0": kernel(8, 3, 3, 3),
    "k1": kernel(8, 8, 3, 3),
    "bias": np.linspace(-1, 1, 8).astype(np.float32),
    "k2": kernel(8, 8, 1, 1),
}


def few_and_all(pixels):
    """Return a plan, its activations on the first images, those widened, and those of all."""
    network = model(NODES, CONSTANTS, "features", "torch")
    folded = fold_preprocessing(network, PREPROCESSINGS["torch"], NETWORK_INPUT)
    plan = plan_quantization(network.graph)
    known = calibrate(network, plan, pixels[:IN_FLOAT])
    layers = round_layers(network, plan, known, folded, levels=127)
    widened = over_more_images(network, plan, known, folded, layers, pixels)
    return plan, known, widened, calibrate(network, plan, pixels)


def contrasts(*contrast):
    """Return pictures, one for each contrast, about a middle grey."""
    made = pictures(len(contrast)).astype(float) - 128
    return np.clip(made * np.reshape(contrast, (-1, 1, 1, 1)) + 128, 0, 255).astype(np.uint8)


def test_they_take_in_what_all_images_need():
    plan, known, widened, every = few_and_all(contrasts(*[0.5] * IN_FLOAT, *[0.8] * 15))
    assert set(widened) == set(plan.sites)
    for site in plan.sites:
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
    _, known, widened, every = few_and_all(contrasts(*[0.05] * IN_FLOAT, 1.0))
    assert every["b"].high > 4 * known["b"].high
    room = with_room(known)["b"].high
    assert known["b"].high < widened["b"].high <= room * 1.001


def test_a_site_that_no_image_reaches_stays_as_it_is():
    _, known, widened, _ = few_and_all(contrasts(*[0.0] * 12))
    for site, found in known.items():
        assert (widened[site].low, widened[site].high) == pytest.approx(
            (found.low, found.high), abs=1e-6 + 0.02 * (found.high - found.low)
        )


def test_images_after_the_first_few_are_run_in_int8_alone(monkeypatch):
    in_float = []

    def counting(network, plan, pixels, file=None):
        in_float.append(len(pixels))
        return calibrate(network, plan, pixels, file)

    monkeypatch.setattr(engine.quantization.quantize, "calibrate", counting)
    network = model(NODES, CONSTANTS, "features", "torch")
    expected = run(network, pictures(20, seed=3))
    pixels = contrasts(*[0.4] * IN_FLOAT, *[0.75] * 16)
    int8 = quantize(network, PREPROCESSINGS["torch"], pixels, levels=127)
    assert in_float == [IN_FLOAT]
    onnx.checker.check_model(int8, full_check=True)
    assert [output.name for output in int8.graph.output] == ["features"]
    got = run(int8, pictures(20, seed=3))
    assert np.linalg.norm(got - expected) < 0.05 * np.linalg.norm(expected)

    monkeypatch.setattr(engine.quantization.quantize, "over_more_images", lambda *a: a[2])
    narrow = quantize(
        model(NODES, CONSTANTS, "features", "torch"), PREPROCESSINGS["torch"], pixels, levels=127
    )
    clipped = run(narrow, pictures(20, seed=3))
    assert np.linalg.norm(clipped - expected) > 2 * np.linalg.norm(got - expected)


def test_no_range_exceeds_what_a_clip_lets_through():
    """A Clip that saturation does not stand for is not fused: MobileNetV2 ran five times slower."""
    nodes = [node("Clip", "a zero six", "b"), *NODES[2:]]
    more = {"zero": np.float32(0), "six": np.float32(0.7)}
    network = model([NODES[0], *nodes], {**CONSTANTS, **more}, "features", "torch")
    int8 = quantize(
        network, PREPROCESSINGS["torch"], contrasts(*[0.1] * IN_FLOAT, *[0.3] * 9), levels=127
    )
    assert "Clip" not in [entry.op_type for entry in int8.graph.node]
