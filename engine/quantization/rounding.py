"""Layers of a float network as integers.

Weights are rounded per output channel; what that does to a layer's mean output on the calibration
images goes back into its bias (Nagel et al., Data-free quantization through weight equalization
and bias correction, ICCV 2019, section 4.2, with measured means). That matters most for layers
whose large weights cancel out: docs/precision.md has the figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from engine.graphs import walk
from engine.quantization.network import LEAST_SCALE, Activations, FloatNetwork, quantizers_for
from engine.quantization.plan import WEIGHTED

# What a bias is at most, in steps of its int32: as much again is left for its correction, and for
# the sum of products that it is added to.
_MAX_BIAS_STEPS = 2**30

# Rows of a dense layer's weights that are compared at a time, each of 16 KB in VGG16: no large
# memory is new to the process for them.
_ROWS = 64

# Bytes of weights that are rounded at a time, in one buffer: VGG16's largest matrix takes 0.07 s
# so, and 1.1 s by way of 411 MB of memory that is new to the process.
_BLOCK = 2**20


@dataclass(frozen=True)
class QuantizedWeights:
    """int8 weights, per output channel: value = scale[channel] * q, along `axis`."""

    values: np.ndarray
    scales: np.ndarray
    axis: int

    def dequantized(self) -> np.ndarray:
        """Return the float32 weights that these stand for."""
        shape = [-1 if axis == self.axis else 1 for axis in range(self.values.ndim)]
        return np.asarray(self.values * self.scales.reshape(shape))


def quantize_weights(
    weights: np.ndarray, axis: int, *, levels: int, least: np.ndarray | float = 0.0
) -> QuantizedWeights:
    """Return float32 weights as int8, symmetric per output channel along `axis`.

    levels: the largest magnitude: 127, or fewer where the CPU's 16-bit sums saturate.
    least: what each channel's scale is at least. The step of its bias grows with it, and in steps
        too small the bias of a channel with hardly any weights would not fit 32 bits.
    """
    others = tuple(a for a in range(weights.ndim) if a != axis)
    peaks = np.maximum(weights.max(axis=others), -weights.min(axis=others))
    scales = np.maximum(peaks / levels, np.maximum(least, LEAST_SCALE)).astype(np.float32)
    shape = [-1 if a == axis else 1 for a in range(weights.ndim)]
    factors = np.broadcast_to((1 / scales).reshape(shape), weights.shape)
    values = np.empty(weights.shape, np.int8)
    rows = max(1, _BLOCK // max(1, weights[:1].nbytes))
    buffer = np.empty((rows, *weights.shape[1:]), np.float32)
    for start in range(0, len(weights), rows):
        part = slice(start, start + rows)
        scaled = buffer[: len(weights) - start]
        np.multiply(weights[part], factors[part], out=scaled)
        values[part] = np.rint(scaled, out=scaled)
    return QuantizedWeights(values, scales, axis)


@dataclass(frozen=True)
class Layers:
    """int8 weights and corrected float32 biases, by the outputs of their nodes.

    A layer without a bias, whose inputs' means are not known either, has none.
    """

    weights: Mapping[str, QuantizedWeights]
    biases: Mapping[str, np.ndarray]


def round_layers(
    network: FloatNetwork, activations: Mapping[str, Activations], *, levels: int
) -> Layers:
    """Return the layers of a float network as integers.

    They fit activations of wider ranges too. levels: see `quantize_weights`.
    """
    quantizers = quantizers_for(network, activations)
    weights: dict[str, QuantizedWeights] = {}
    biases: dict[str, np.ndarray] = {}
    constants = walk.constants(network.model.graph)
    for node in network.model.graph.node:
        output = node.output[0]
        if output not in network.plan.nodes or node.op_type not in WEIGHTED:
            continue
        kernel = numpy_helper.to_array(constants[node.input[1]])
        axis = WEIGHTED[node.op_type]
        bias = _bias(node, constants, kernel.shape[axis])
        weights[output] = quantize_weights(
            kernel,
            axis,
            levels=levels,
            least=np.abs(bias) / (_MAX_BIAS_STEPS * float(quantizers[node.input[0]].scale)),
        )
        means = activations[node.input[0]].means
        if means is not None and node.op_type != "MatMul":
            correction = _correction(node, kernel, weights[output], means)
            biases[output] = (bias + correction).astype(np.float32)
    return Layers(weights, biases)


def _bias(
    node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto], channels: int
) -> np.ndarray:
    """Return a layer's bias for each output channel, float64; zeros where it has none."""
    if len(node.input) < 3 or not node.input[2]:
        return np.zeros(channels)
    bias = numpy_helper.to_array(constants[node.input[2]]).astype(np.float64)
    return np.broadcast_to(bias.reshape(-1), channels)  # Gemm may have one for all, or a row


def _correction(
    node: onnx.NodeProto, kernel: np.ndarray, weights: QuantizedWeights, means: np.ndarray
) -> np.ndarray:
    """Return what rounding its weights takes from a layer's mean output, float64.

    means: of each input channel, float64.
    """
    if node.op_type == "Conv":
        # The mean over all positions, as if there were no border.
        sums = kernel.sum(axis=(2, 3), dtype=np.float64)  # (outputs, inputs of a group)
        lost = sums - weights.values.sum(axis=(2, 3)) * weights.scales[:, None].astype(np.float64)
        groups = len(means) // lost.shape[1]
        each = lost.reshape(groups, -1, lost.shape[1])
        correction = np.einsum("goi,gi->go", each, means.reshape(groups, -1))
        return np.asarray(correction).reshape(-1)
    correction = np.zeros(kernel.shape[1])
    for start in range(0, len(kernel), _ROWS):
        rows = slice(start, start + _ROWS)
        correction += means[rows] @ (kernel[rows] - weights.values[rows] * weights.scales)
    return correction
