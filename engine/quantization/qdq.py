"""A float graph with its quantisation written in: QDQ form, the one that runtimes share.

A QuantizeLinear and a DequantizeLinear around each quantised tensor; ONNX Runtime fuses them with
what lies between into integer kernels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from engine.graphs.walk import consumers, needed
from engine.quantization.plan import (
    ACTIVATIONS,
    WEIGHTED,
    Plan,
    activated,
    activation_bounds,
)


@dataclass(frozen=True)
class Quantizer:
    """The scale and zero point of a uint8 tensor: value = scale * (q - zero_point)."""

    scale: np.float32
    zero_point: int


def quantized_name(site: str) -> str:
    """Return the name of the uint8 tensor that a site of a plan is quantised to."""
    return f"{site}/q"


# Bytes of weights that are rounded at a time, in one buffer: VGG16's largest matrix takes 0.07 s
# so, and 1.1 s by way of 411 MB of memory that is new to the process.
_BLOCK = 2**20

# Scales below this stand for nothing, and products of them would leave float32.
_LEAST_SCALE = 1e-15


def quantizer_for(low: float, high: float) -> Quantizer:
    """Return the quantizer that spans [low, high] and represents 0 exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255)
    if scale < _LEAST_SCALE:
        return Quantizer(np.float32(1), 0)
    return Quantizer(scale, int(np.clip(np.rint(-low / scale), 0, 255)))


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
    scales = np.maximum(peaks / levels, np.maximum(least, _LEAST_SCALE)).astype(np.float32)
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


def write_qdq(
    model: onnx.ModelProto,
    plan: Plan,
    quantizers: Mapping[str, Quantizer],
    weights: Mapping[str, QuantizedWeights],
    biases: Mapping[str, np.ndarray],
    integers: Mapping[str, str],
) -> onnx.ModelProto:
    """Return a float model with its quantisation written in; constants that are replaced are gone.

    quantizers: for each site of the plan.
    weights, biases: int8 weights and float32 biases of the plan's layers, by the outputs of their
        nodes; a layer without a bias has none.
    integers: sites that some uint8 tensor holds already, by its name.
    """
    writer = _Writer(quantizers)
    users = consumers(model.graph.node)
    constants = {constant.name: constant for constant in model.graph.initializer}
    outputs = [output.name for output in model.graph.output]
    sites = {source: site for site, source in integers.items()}
    for original in model.graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        output = node.output[0]
        follows = node.op_type in ACTIVATIONS and node.input[0] in plan.nodes
        inner = output in quantizers and output not in outputs
        if follows and inner and _saturates(node, constants, quantizers[output]):
            writer.quantize(output, node.input[0])  # saturation does what the activation does
            continue
        if output in plan.nodes and node.op_type in WEIGHTED:
            writer.weigh(node, weights[output], biases.get(output))
        if follows and output not in quantizers and node.op_type == "Relu":
            # The same, but not fused with the Gemm before it to a float kernel.
            node.op_type = "Max"
            node.input.append(writer.constant(f"{output}/least", np.zeros(1, np.float32)))
        writer.add(node)
        if output in sites:
            writer.dequantize(sites[output], output)
        if output in quantizers and output not in integers and activated(output, users) == output:
            writer.quantize(output, output)
    result = onnx.ModelProto(
        ir_version=model.ir_version,
        producer_name="onceover",
        opset_import=model.opset_import,
        metadata_props=model.metadata_props,
    )
    nodes = needed(writer.nodes, outputs)
    used = {name for node in nodes for name in node.input}
    graph = result.graph
    graph.name = model.graph.name
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    graph.node.extend(nodes)
    graph.initializer.extend(c for c in model.graph.initializer if c.name in used)
    graph.initializer.extend(writer.constants)
    return result


def _saturates(
    node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto], quantizer: Quantizer
) -> bool:
    """Tell whether saturation at a quantizer's ends does what an activation does."""
    bounds = activation_bounds(node, constants)
    if quantizer.zero_point != 0 or bounds is None:
        return False
    # Several tensors may share a quantizer that spans more than this one may hold.
    return bounds[0] <= 0 and bounds[1] >= (255 - 0.5) * float(quantizer.scale)


class _Writer:
    """The nodes and constants of a QDQ graph in the making."""

    def __init__(self, quantizers: Mapping[str, Quantizer]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._quantizers = quantizers
        self._renamed: dict[str, str] = {}  # a tensor -> what its readers read instead

    def add(self, node: onnx.NodeProto) -> None:
        """Add a node that reads what its inputs have become."""
        node.input[:] = [self._renamed.get(name, name) for name in node.input]
        self.nodes.append(node)

    def quantize(self, site: str, source: str) -> None:
        """Quantise what `source` has become; readers of `site` read what it was rounded to."""
        scale, zero = self._parameters(site)
        quantized = quantized_name(site)
        # A second reader of the float tensor would keep the layer that makes it from being fused.
        source = self._renamed.get(source, source)
        self._node("QuantizeLinear", [source, scale, zero], quantized)
        self._dequantize(site, quantized, scale, zero)

    def dequantize(self, site: str, source: str) -> None:
        """Let readers of `site` read a uint8 tensor instead."""
        self._dequantize(site, source, *self._parameters(site))

    def weigh(
        self, node: onnx.NodeProto, weights: QuantizedWeights, bias: np.ndarray | None
    ) -> None:
        """Give a node int8 weights and an int32 bias."""
        output = node.output[0]
        kernel = self._integers(f"{output}/weights", weights.values, weights.scales, weights.axis)
        scales = weights.scales * self._quantizers[node.input[0]].scale
        inputs = [node.input[0], kernel]
        if bias is not None:
            limits = np.iinfo(np.int32)
            steps = np.rint(bias.astype(np.float64) / scales).clip(limits.min, limits.max)
            inputs.append(self._integers(f"{output}/bias", steps.astype(np.int32), scales, 0))
        node.input[:] = inputs

    def _parameters(self, site: str) -> tuple[str, str]:
        quantizer = self._quantizers[site]
        scale = self.constant(f"{site}/scale", np.array(quantizer.scale, np.float32))
        return scale, self.constant(f"{site}/zero", np.array(quantizer.zero_point, np.uint8))

    def _dequantize(self, site: str, source: str, scale: str, zero: str) -> None:
        self._renamed[site] = f"{site}/dq"
        self._node("DequantizeLinear", [source, scale, zero], f"{site}/dq")

    def _integers(self, name: str, values: np.ndarray, scales: np.ndarray, axis: int) -> str:
        """Add integer constants with a scale for each channel; return the name of their values."""
        inputs = [
            self.constant(f"{name}/q", values),
            self.constant(f"{name}/scale", scales),
            self.constant(f"{name}/zero", np.zeros(len(scales), values.dtype)),
        ]
        self._node("DequantizeLinear", inputs, name, axis=axis)
        return name

    def constant(self, name: str, values: np.ndarray) -> str:
        """Add a constant; return its name."""
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
