"""What the activations of a network are like on some images: ranges and channel means.

An int8 pass takes a quarter of an fp32 one on a CPU with VNNI. So a few images in fp32 say how
large activations are about, and an int8 model with room for more says what all images need.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.graphs import walk
from engine.graphs.files import without_weights
from engine.graphs.session import run_over, session
from engine.quantization.network import Activations, FloatNetwork, Quantizer, quantized_name
from engine.quantization.plan import ACTIVATIONS, Plan, activation_bounds, data_inputs

# Axes that are no channels, by the operator that reads a tensor; MatMul has no bias to correct.
_OTHER_AXES: Mapping[str, list[int]] = {"Conv": [0, 2, 3], "Gemm": [0]}

# From this operator set on ReduceMean takes its axes as an input.
_AXES_ARE_INPUT = 18

# How much wider than what is known ranges are tried. What exceeds even that is clipped; what does
# not is known to one of 255 steps of it.
_ROOM = 2.0


def calibrate(
    network: FloatNetwork, pixels: np.ndarray, file: Path | None = None
) -> dict[str, Activations]:
    """Return what each site of a plan holds when a float model runs over `pixels`.

    network: takes `images`. pixels: uint8 (N, H, W, 3) RGB. The tensors are reduced where they are
    made, so that no more than those of an image on each core are ever in memory.

    file: one that the model was read from, whose larger constants need not be copied then.
    """
    sites, axes = network.plan.sites, _averaged_axes(network.model, network.plan)
    values = _watched(network.model, _reductions(sites, axes, network.model), pixels, file)
    return {
        site: Activations(
            float(values[f"{site}/ReduceMin"].min()),
            float(values[f"{site}/ReduceMax"].max()),
            values[f"{site}/ReduceMean"].astype(np.float64).mean(axis=0) if site in axes else None,
        )
        for site in sites
    }


def _averaged_axes(model: onnx.ModelProto, plan: Plan) -> dict[str, list[int]]:
    """Return the axes over which sites are averaged for the layers that read them."""
    names = walk.constants(model.graph)
    readers = walk.consumers(model.graph.node)
    return {
        site: _OTHER_AXES[node.op_type]
        for site in plan.sites
        for node in readers.get(site, [])
        if node.op_type in _OTHER_AXES and site in data_inputs(node, names)
    }


def _reductions(
    sites: Sequence[str], axes: Mapping[str, list[int]], model: onnx.ModelProto
) -> onnx.GraphProto:
    """Return nodes and constants that reduce sites to extremes and, those of `axes`, to means."""
    graph = onnx.GraphProto()
    for site in sites:
        graph.node.extend(_extremes(site, site))
        if site not in axes:
            continue
        mean = helper.make_node("ReduceMean", [site], [f"{site}/ReduceMean"], keepdims=0)
        if walk.operator_set(model) < _AXES_ARE_INPUT:
            mean.attribute.append(helper.make_attribute("axes", axes[site]))
        else:
            constant = numpy_helper.from_array(np.array(axes[site], np.int64), f"{site}/axes")
            graph.initializer.append(constant)
            mean.input.append(constant.name)
        graph.node.append(mean)
    return graph


def _watched(
    model: onnx.ModelProto, reductions: onnx.GraphProto, pixels: np.ndarray, file: Path | None
) -> dict[str, np.ndarray]:
    """Return what reductions of a model's tensors give over pixels, a row for each image."""
    watched = onnx.ModelProto()
    if file is None:
        watched.CopyFrom(model)
    else:
        file = file.resolve()
        watched = without_weights(model, file)
    watched.graph.node.extend(reductions.node)
    watched.graph.initializer.extend(reductions.initializer)
    outputs = _give(watched, reductions.node, TensorProto.FLOAT)
    runner = session(watched.SerializeToString(), file and file.parent, packed=False)
    batches = run_over(runner, pixels, outputs, 1)
    return {name: np.array([batch[n] for batch in batches]) for n, name in enumerate(outputs)}


def _give(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], kind: int) -> list[str]:
    """Make what nodes of a model compute its outputs too; return their names."""
    names = [node.output[0] for node in nodes]
    model.graph.output.extend(helper.make_tensor_value_info(name, kind, None) for name in names)
    return names


def _extremes(site: str, tensor: str) -> list[onnx.NodeProto]:
    """Return nodes that give the least and the largest value of a tensor of a site, in this order.

    Of their outputs each run gives one number, so that no tensor leaves the runtime.
    """
    return [
        helper.make_node(operator, [tensor], [f"{site}/{operator}"], keepdims=0)
        for operator in ("ReduceMin", "ReduceMax")
    ]


def with_room(
    network: FloatNetwork, activations: Mapping[str, Activations]
) -> dict[str, Activations]:
    """Return activations of wider ranges, for the model that `seen_in_int8` reads.

    There is no room that a Clip leaves empty: with it saturation would not do what the Clip does,
    and the Clip would not be fused.
    """
    constants = walk.constants(network.model.graph)
    roomy = {
        site: replace(values, low=values.low * _ROOM, high=values.high * _ROOM)
        for site, values in activations.items()
    }
    for node in network.model.graph.node:
        site = node.output[0]
        if node.op_type in ACTIVATIONS and site in roomy:
            bounds = activation_bounds(node, constants)
            if bounds is not None:
                roomy[site] = replace(roomy[site], high=min(roomy[site].high, bounds[1]))
    return roomy


def seen_in_int8(
    roomy: onnx.ModelProto,
    quantizers: Mapping[str, Quantizer],
    activations: Mapping[str, Activations],
    pixels: np.ndarray,
) -> dict[str, Activations]:
    """Return activations with ranges that take in what an int8 model makes of `pixels`.

    roomy: that model, with those quantizers; is used up.
    pixels: uint8 (N, H, W, 3) RGB.
    """
    tensors = {output for node in roomy.graph.node for output in node.output}
    sites = [site for site in activations if quantized_name(site) in tensors]
    if not sites:
        return dict(activations)
    nodes = [node for site in sites for node in _extremes(site, quantized_name(site))]
    roomy.graph.node.extend(nodes)
    outputs = _give(roomy, nodes, TensorProto.UINT8)
    runner = session(roomy.SerializeToString())
    batches = np.array(run_over(runner, pixels, outputs, 1), np.int64)
    least, largest = batches[:, 0::2].min(axis=0), batches[:, 1::2].max(axis=0)
    result = dict(activations)
    for site, *integers in zip(sites, least, largest, strict=True):
        low, high = (
            float(quantizers[site].scale) * float(value - quantizers[site].zero_point)
            for value in integers
        )
        values = result[site]
        result[site] = replace(values, low=min(values.low, low), high=max(values.high, high))
    return result
