"""fp32 ONNX + calibration pixels -> int8 ONNX.

Weights are rounded per output channel; what that does to a layer's mean output on the calibration
images goes back into its bias (Nagel et al., Data-free quantization through weight equalization
and bias correction, ICCV 2019, section 4.2, with measured means). That matters most for layers
whose large weights cancel out: docs/precision.md has the figures.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from engine.calibration import Activations, calibrate
from engine.pixel_input import PIXELS, PixelInput, fold_preprocessing
from engine.preprocessing import NETWORK_INPUT, Preprocessing
from engine.qdq import (
    QuantizedWeights,
    Quantizer,
    quantize_weights,
    quantizer_for,
    write_qdq,
)
from engine.quantization_plan import WEIGHTED, Plan, plan_quantization

# Rows of a dense layer's weights that are compared at a time: VGG16's have half a gigabyte.
_ROWS = 1024


def quantize(
    model: onnx.ModelProto, preprocessing: Preprocessing, pixels: np.ndarray, *, levels: int
) -> onnx.ModelProto:
    """Return the int8 form of an exported fp32 backbone.

    model: is used up; VGG16's has half a gigabyte, of which no copy is made.
    pixels: uint8 (N, H, W, 3) RGB, the images to calibrate on. levels: see `quantize_weights`.
    """
    folded = fold_preprocessing(model, preprocessing, NETWORK_INPUT)
    plan = plan_quantization(model.graph)
    activations = calibrate(model, plan, pixels)
    return integer_form(model, plan, activations, folded, levels=levels)


def integer_form(
    model: onnx.ModelProto,
    plan: Plan,
    activations: Mapping[str, Activations],
    folded: PixelInput | None,
    *,
    levels: int,
) -> onnx.ModelProto:
    """Return the int8 form of a float model whose activations are known.

    activations: of each site of the plan. folded: where its pixels come from, if folded.
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
        weights[output] = quantize_weights(kernel, WEIGHTED[node.op_type], levels=levels)
        means = activations[node.input[0]].means
        if means is not None:
            bias = _corrected_bias(node, constants, kernel, weights[output], means)
            biases[output] = bias
    integers = {} if folded is None else {PIXELS: folded.source}
    return write_qdq(model, plan, quantizers, weights, biases, integers)


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


def _corrected_bias(
    node: onnx.NodeProto,
    constants: dict[str, onnx.TensorProto],
    kernel: np.ndarray,
    weights: QuantizedWeights,
    means: np.ndarray,
) -> np.ndarray:
    """Return a layer's bias plus what rounding its weights takes from its mean output.

    means: of each input channel, float64.
    """
    if node.op_type == "Conv":
        # The mean over all positions, as if there were no border.
        sums = kernel.sum(axis=(2, 3), dtype=np.float64)  # (outputs, inputs of a group)
        lost = sums - weights.values.sum(axis=(2, 3)) * weights.scales[:, None].astype(np.float64)
        groups = len(means) // lost.shape[1]
        each = lost.reshape(groups, -1, lost.shape[1])
        correction = np.einsum("goi,gi->go", each, means.reshape(groups, -1)).reshape(-1)
    else:
        correction = np.zeros(kernel.shape[1])
        for start in range(0, len(kernel), _ROWS):
            rows = slice(start, start + _ROWS)
            lost = kernel[rows] - weights.values[rows] * weights.scales
            correction += means[rows] @ lost
    if len(node.input) > 2 and node.input[2]:
        correction = correction + numpy_helper.to_array(constants[node.input[2]])
    return np.asarray(correction, np.float32)
