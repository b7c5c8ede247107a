"""A preprocessing as the first nodes of a graph."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.backbones.preprocessing import Preprocessing


def preprocessing_nodes(
    preprocessing: Preprocessing, source: str, target: str, *, channels_first: bool
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return nodes and constants that turn pixels into a network's input.

    source: name of a uint8 tensor (N, H, W, 3), RGB.
    target: name of the float32 tensor to make, (N, 3, H, W) if `channels_first`, else (N, H, W, 3).

    Layout and channel order change while a pixel is still one byte.
    """
    shape = (1, 3, 1, 1) if channels_first else (1, 1, 1, 3)
    order = slice(None, None, -1) if preprocessing.reverse_channels else slice(None)
    mean = np.array(preprocessing.mean, np.float32)[order].reshape(shape)
    scale = np.array(preprocessing.scale, np.float32)[order].reshape(shape)
    bgr = np.array([2, 1, 0], np.int64)

    steps: list[tuple[str, dict[str, Any], np.ndarray | None]] = []
    if channels_first:
        steps.append(("Transpose", {"perm": [0, 3, 1, 2]}, None))
    if preprocessing.reverse_channels:
        steps.append(("Gather", {"axis": 1 if channels_first else 3}, bgr))
    steps.append(("Cast", {"to": TensorProto.FLOAT}, None))
    if mean.any():
        steps.append(("Sub", {}, mean))
    if (scale != 1).any():
        steps.append(("Div", {}, scale))

    nodes, new = [], []
    for step, (operator, attributes, constant) in enumerate(steps, 1):
        name = f"preprocessing_{step}"
        inputs = [source]
        if constant is not None:
            new.append(numpy_helper.from_array(constant, f"{name}_constant"))
            inputs.append(new[-1].name)
        source = target if step == len(steps) else name
        nodes.append(helper.make_node(operator, inputs, [source], name=name, **attributes))
    return nodes, new
