"""What the activations of a float network are like on some images: ranges and channel means."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.graphs.files import without_weights
from engine.graphs.session import BATCH_SIZE, run_over, session
from engine.graphs.walk import consumers, operator_set
from engine.quantization.plan import Plan, data_inputs

# Axes that are no channels, by the operator that reads a tensor; MatMul has no bias to correct.
_OTHER_AXES: Mapping[str, list[int]] = {"Conv": [0, 2, 3], "Gemm": [0]}

# From this operator set on ReduceMean takes its axes as an input.
_AXES_ARE_INPUT = 18


@dataclass(frozen=True)
class Activations:
    """A tensor over all calibration images.

    low, high: its least and largest value. means: of each channel, float64 (C,); None where no
    layer with weights reads it.
    """

    low: float
    high: float
    means: np.ndarray | None


def calibrate(
    model: onnx.ModelProto, plan: Plan, pixels: np.ndarray, file: Path | None = None
) -> dict[str, Activations]:
    """Return what each site of a plan holds when a float model runs over `pixels`.

    model: takes `images`. pixels: uint8 (N, H, W, 3) RGB. The tensors are reduced where they are
    made, so that no more than a batch of them is ever in memory.

    file: one that the model was read from, whose larger constants need not be copied then.
    """
    constants = {constant.name for constant in model.graph.initializer}
    readers = consumers(model.graph.node)
    nodes: list[onnx.NodeProto] = []
    given: list[onnx.TensorProto] = []
    axes: dict[str, list[int]] = {}
    for site in plan.sites:
        nodes += extremes(site, site)
        for node in readers.get(site, []):
            if node.op_type in _OTHER_AXES and site in data_inputs(node, constants):
                axes[site] = _OTHER_AXES[node.op_type]
        if site in axes:
            mean = helper.make_node("ReduceMean", [site], [f"{site}/ReduceMean"], keepdims=0)
            if operator_set(model) < _AXES_ARE_INPUT:
                mean.attribute.append(helper.make_attribute("axes", axes[site]))
            else:
                given.append(
                    numpy_helper.from_array(np.array(axes[site], np.int64), f"{site}/axes")
                )
                mean.input.append(given[-1].name)
            nodes.append(mean)
    watched = onnx.ModelProto()
    if file is None:
        watched.CopyFrom(model)
    else:
        file = file.resolve()
        watched = without_weights(model, file)
    watched.graph.node.extend(nodes)
    watched.graph.initializer.extend(given)
    outputs = [node.output[0] for node in nodes]
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs
    )
    runner = session(watched.SerializeToString(), file and file.parent)
    batches = run_over(runner, pixels, outputs)
    sizes = [min(BATCH_SIZE, len(pixels) - start) for start in range(0, len(pixels), BATCH_SIZE)]
    found = {name: np.array([batch[n] for batch in batches]) for n, name in enumerate(outputs)}
    return {
        site: Activations(
            float(found[f"{site}/ReduceMin"].min()),
            float(found[f"{site}/ReduceMax"].max()),
            np.average(found[f"{site}/ReduceMean"].astype(np.float64), axis=0, weights=sizes)
            if site in axes
            else None,
        )
        for site in plan.sites
    }


def extremes(site: str, tensor: str) -> list[onnx.NodeProto]:
    """Return nodes that give the least and the largest value of a tensor of a site, in this order.

    Of their outputs each run gives one number, so that no tensor leaves the runtime.
    """
    return [
        helper.make_node(operator, [tensor], [f"{site}/{operator}"], keepdims=0)
        for operator in ("ReduceMin", "ReduceMax")
    ]
