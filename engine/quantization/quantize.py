"""fp32 ONNX + calibration pixels -> int8 ONNX.

Weights are rounded per output channel; what that does to a layer's mean output on the calibration
images goes back into its bias (Nagel et al., Data-free quantization through weight equalization
and bias correction, ICCV 2019, section 4.2, with measured means). That matters most for layers
whose large weights cancel out: docs/precision.md has the figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, version_converter

from engine.backbones.preprocessing import NETWORK_INPUT, Preprocessing
from engine.graphs.walk import operator_set
from engine.quantization.integer_ranges import seen_in_int8, with_room
from engine.quantization.pixel_groups import group_pixels
from engine.quantization.pixel_input import PIXELS, PixelInput, fold_preprocessing
from engine.quantization.plan import (
    ACTIVATIONS,
    WEIGHTED,
    Plan,
    activation_bounds,
    plan_quantization,
)
from engine.quantization.qdq import (
    QuantizedWeights,
    Quantizer,
    quantize_weights,
    quantizer_for,
    write_qdq,
)
from engine.quantization.ranges import Activations, calibrate

# The first that has a scale for each channel.
_OPERATOR_SET = 13

# Images that are run in fp32. Means are steady after a few, and ranges are widened by the others.
IN_FLOAT = 8

# What a bias is at most, in steps of its int32: as much again is left for its correction, and for
# the sum of products that it is added to.
_MAX_BIAS_STEPS = 2**30

# Rows of a dense layer's weights that are compared at a time, each of 16 KB in VGG16: no large
# memory is new to the process for them.
_ROWS = 64


def quantize(
    model: onnx.ModelProto,
    preprocessing: Preprocessing,
    pixels: np.ndarray,
    *,
    levels: int,
    file: Path | None = None,
) -> onnx.ModelProto:
    """Return the int8 form of an exported fp32 backbone.

    model: is used up; VGG16's has half a gigabyte, of which no copy is made.
    pixels: uint8 (N, H, W, 3) RGB, the images to calibrate on, in the order of a fair choice: the
        first IN_FLOAT count for more. levels: see `quantize_weights`.
    file: one that the model was read from, see `calibrate`.
    """
    if operator_set(model) < _OPERATOR_SET:
        model = version_converter.convert_version(model, _OPERATOR_SET)
        file = None  # a constant of that name may be another now
    folded = fold_preprocessing(model, preprocessing, NETWORK_INPUT)
    plan = plan_quantization(model.graph)
    activations = calibrate(model, plan, pixels[:IN_FLOAT], file)
    layers = round_layers(model, plan, activations, folded, levels=levels)
    if len(pixels) > IN_FLOAT:
        activations = over_more_images(model, plan, activations, folded, layers, pixels)
    return integer_form(model, plan, activations, folded, layers)


@dataclass(frozen=True)
class Layers:
    """int8 weights and corrected float32 biases, by the outputs of their nodes.

    A layer without a bias, whose inputs' means are not known either, has none.
    """

    weights: Mapping[str, QuantizedWeights]
    biases: Mapping[str, np.ndarray]


def round_layers(
    model: onnx.ModelProto,
    plan: Plan,
    activations: Mapping[str, Activations],
    folded: PixelInput | None,
    *,
    levels: int,
) -> Layers:
    """Return the layers of a float model as integers.

    They fit activations of wider ranges too. folded: where its pixels come from, if folded.
    """
    quantizers = _quantizers(plan, activations, folded)
    weights: dict[str, QuantizedWeights] = {}
    biases: dict[str, np.ndarray] = {}
    constants = {constant.name: constant for constant in model.graph.initializer}
    for node in model.graph.node:
        output = node.output[0]
        if output not in plan.nodes or node.op_type not in WEIGHTED:
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


def over_more_images(
    model: onnx.ModelProto,
    plan: Plan,
    activations: Mapping[str, Activations],
    folded: PixelInput | None,
    layers: Layers,
    pixels: np.ndarray,
) -> dict[str, Activations]:
    """Return activations of a few images with ranges that take in those of `pixels` as well.

    See `engine.quantization.integer_ranges`.
    """
    roomy = _within_clips(model, with_room(activations))
    int8 = integer_form(model, plan, roomy, folded, layers)
    return seen_in_int8(int8, _quantizers(plan, roomy, folded), activations, pixels)


def _within_clips(
    model: onnx.ModelProto, activations: Mapping[str, Activations]
) -> dict[str, Activations]:
    """Return activations without the room that a Clip before them leaves empty.

    With it saturation would not do what the Clip does, and the Clip would not be fused.
    """
    constants = {constant.name: constant for constant in model.graph.initializer}
    result = dict(activations)
    for node in model.graph.node:
        site = node.output[0]
        if node.op_type in ACTIVATIONS and site in result:
            bounds = activation_bounds(node, constants)
            if bounds is not None:
                result[site] = replace(result[site], high=min(result[site].high, bounds[1]))
    return result


def integer_form(
    model: onnx.ModelProto,
    plan: Plan,
    activations: Mapping[str, Activations],
    folded: PixelInput | None,
    layers: Layers,
) -> onnx.ModelProto:
    """Return the int8 form of a float model whose activations and layers are known.

    activations: of each site of the plan. folded: where its pixels come from, if folded.
    """
    quantizers = _quantizers(plan, activations, folded)
    integers = {} if folded is None else {PIXELS: folded.source}
    int8 = write_qdq(model, plan, quantizers, layers.weights, layers.biases, integers)
    group_pixels(int8)
    return int8


def _quantizers(
    plan: Plan, activations: Mapping[str, Activations], folded: PixelInput | None
) -> dict[str, Quantizer]:
    """Return each site's quantizer; sites of a group span what all of them hold."""
    ranges: dict[str, tuple[float, float]] = {}
    for site, found in activations.items():
        low, high = ranges.get(plan.group[site], (0.0, 0.0))
        ranges[plan.group[site]] = min(low, found.low), max(high, found.high)
    quantizers = {site: quantizer_for(*ranges[plan.group[site]]) for site in plan.sites}
    if folded is not None:
        quantizers[PIXELS] = Quantizer(np.float32(1), folded.zero_point)
    return quantizers


def _bias(
    node: onnx.NodeProto, constants: dict[str, onnx.TensorProto], channels: int
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
