"""Whether this CPU's 8-bit products keep their sums."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from cache.failures import Failure
from engine.graphs.session import session

# The largest magnitudes of int8 weights. Before VNNI, x86 adds two products of uint8 and int8 in
# 16 bits that saturate (`vpmaddubsw`): 2 * 255 * 127 does not fit, 2 * 255 * 64 does.
FULL_LEVELS, REDUCED_LEVELS = 127, 64

_INNER, _OUTER = 64, 16


def weight_levels() -> int:
    """Return the largest magnitude of int8 weights that this CPU multiplies without saturation.

    Found by multiplying, with the kernels that the networks run on: no list of processors.
    """
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["pixels", "weights"], ["sums"])],
        "saturation",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", _INNER])],
        [helper.make_tensor_value_info("sums", TensorProto.INT32, ["N", _OUTER])],
        [
            helper.make_tensor(
                "weights", TensorProto.INT8, [_INNER, _OUTER], [FULL_LEVELS] * _INNER * _OUTER
            )
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    pixels = np.full((4, _INNER), 255, np.uint8)
    (sums,) = session(model.SerializeToString()).run(["sums"], {"pixels": pixels})
    exact = bool((sums == 255 * FULL_LEVELS * _INNER).all())
    return FULL_LEVELS if exact else REDUCED_LEVELS


def refuse_saturation(model: Path, quantization: Mapping[str, Any]) -> None:
    """Raise Failure if this CPU does not multiply the weights of an int8 model exactly.

    quantization: what the model's description says, see `ModelDescription`.
    """
    levels = quantization.get("levels")
    if not isinstance(levels, int):
        raise Failure(f"{model} does not say how large its int8 weights are; it is refused")
    if levels > (possible := weight_levels()):
        raise Failure(
            f"the int8 model {model} has weights up to {levels}, with which this CPU's sums "
            f"saturate (it takes {possible}); extract on the machine that it is from, or make one "
            "here, in another --cache"
        )
