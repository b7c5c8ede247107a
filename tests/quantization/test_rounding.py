"""Weights rounded per output channel, and biases that fit them."""

import numpy as np
import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from int8_samples import kernel, model, node, pictures, run

import engine.quantization.rounding
from engine.backbones.preprocessing import NETWORK_INPUT, PREPROCESSINGS
from engine.quantization.quantize import quantize
from engine.quantization.rounding import quantize_weights

WEIGHTS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    elements=st.floats(-1e3, 1e3, width=32),
)


@FUZZ
@given(WEIGHTS, st.sampled_from([0, 1]), st.sampled_from([127, 64]))
def test_weights_are_rounded_to_the_nearest_level(weights, axis, levels):
    found = quantize_weights(weights.copy(), axis, levels=levels)
    assert found.values.dtype == np.int8
    assert np.abs(found.values.astype(int)).max() <= levels
    assert found.scales.shape == (weights.shape[axis],)
    assert (found.scales > 0).all()
    steps = found.scales.reshape([-1, 1] if axis == 0 else [1, -1])
    assert (np.abs(found.dequantized() - weights) <= steps * 0.501 + 1e-12).all()


@pytest.mark.parametrize("block", [1, 300, 5000])
@pytest.mark.parametrize(("shape", "axis"), [((23, 7), 1), ((23, 7), 0), ((9, 4, 3, 3), 0)])
def test_rounding_in_parts_is_rounding_at_once(monkeypatch, shape, axis, block):
    weights = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    at_once = quantize_weights(weights, axis, levels=127)
    monkeypatch.setattr(engine.quantization.rounding, "_BLOCK", block)
    in_parts = quantize_weights(weights, axis, levels=127)
    assert np.array_equal(in_parts.values, at_once.values)
    assert np.array_equal(in_parts.scales, at_once.scales)
    steps = at_once.scales.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    assert np.array_equal(at_once.values, np.rint(weights * (1 / steps)))


@pytest.mark.parametrize(("shape", "axis"), [((5, 0), 1), ((0, 3, 3, 3), 0)])
def test_no_weights_are_no_integers(shape, axis):
    assert quantize_weights(np.empty(shape, np.float32), axis, levels=127).values.shape == shape


def test_a_channel_of_zeros_stays_zero():
    weights = kernel(3, 4, 3, 3)
    weights[1] = 0
    found = quantize_weights(weights, 0, levels=127)
    assert not found.values[1].any()
    assert np.isfinite(found.dequantized()).all()
    assert np.abs(found.values[[0, 2]]).max(axis=(1, 2, 3)).tolist() == [127, 127]


@pytest.mark.parametrize("size", [0.0, 1e-44, 1e-30, 1e-9, 1.0])
def test_the_bias_of_a_channel_with_hardly_any_weights_is_kept(size):
    weights = kernel(8, 3, 3, 3, size=0.02)
    weights[2] *= np.float32(size)
    bias = np.linspace(-3, 3, 8).astype(np.float32)
    nodes = [
        node("Conv", f"{NETWORK_INPUT} k bias", "a", kernel_shape=[3, 3]),
        node("Conv", "a k1", "c", kernel_shape=[3, 3]),
    ]
    more = {"k": weights, "bias": bias, "k1": kernel(8, 8, 3, 3)}
    proto = model(nodes, more, "c")
    pixels = pictures(4)
    expected = run(proto, pixels)
    got = run(quantize(proto, PREPROCESSINGS["caffe"], pixels, levels=127), pixels)
    assert np.linalg.norm(got - expected) <= 0.05 * np.linalg.norm(expected)
