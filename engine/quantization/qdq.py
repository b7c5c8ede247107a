"""A float graph with its quantisation written in: QDQ form, the one that runtimes share.

A QuantizeLinear and a DequantizeLinear around each quantised tensor; ONNX Runtime fuses them with
what lies between into integer kernels.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from engine.graphs import walk
from engine.quantization.network import FloatNetwork, Quantizer, quantized_name
from engine.quantization.pixel_input import PIXELS
from engine.quantization.plan import ACTIVATIONS, WEIGHTED, activated, activation_bounds
from engine.quantization.rounding import Layers, QuantizedWeights


def write_qdq(
    network: FloatNetwork, quantizers: Mapping[str, Quantizer], layers: Layers
) -> onnx.ModelProto:
    """Return a float model with its quantisation written in; constants that are replaced are gone.

    quantizers: for each site of the plan, and for the pixels where they are integers already.
    """
    model, plan = network.model, network.plan
    writer = _Writer(quantizers)
    users = walk.consumers(model.graph.node)
    constants = walk.constants(model.graph)
    outputs = [output.name for output in model.graph.output]
    # A uint8 tensor that holds a site's values as it is.
    source = None if network.pixels is None else network.pixels.source
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
            writer.weigh(node, layers.weights[output], layers.biases.get(output))
        if follows and output not in quantizers and node.op_type == "Relu":
            # The same, but not fused with the Gemm before it to a float kernel.
            node.op_type = "Max"
            node.input.append(writer.constant(f"{output}/least", np.zeros(1, np.float32)))
        writer.add(node)
        if output == source:
            writer.dequantize(PIXELS, output)
        folded = source is not None and output == PIXELS
        if output in quantizers and not folded and activated(output, users) == output:
            writer.quantize(output, output)
    result = onnx.ModelProto(
        ir_version=model.ir_version,
        producer_name="onceover",
        opset_import=model.opset_import,
        metadata_props=model.metadata_props,
    )
    nodes = walk.needed(writer.nodes, outputs)
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
