"""The ranges of activations over many images, read off an int8 model.

An int8 pass takes a quarter of an fp32 one on a CPU with VNNI. So a few images in fp32 say how
large activations are about, and an int8 model with room for more says what all images need.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper

from engine.graphs.session import run_over, session
from engine.quantization.qdq import Quantizer, quantized_name
from engine.quantization.ranges import Activations, extremes

# How much wider than what is known ranges are tried. What exceeds even that is clipped; what does
# not is known to one of 255 steps of it.
_ROOM = 2.0


def with_room(activations: Mapping[str, Activations]) -> dict[str, Activations]:
    """Return activations of wider ranges, for the model that `seen_in_int8` reads."""
    return {
        site: replace(found, low=found.low * _ROOM, high=found.high * _ROOM)
        for site, found in activations.items()
    }


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
    made = {output for node in roomy.graph.node for output in node.output}
    sites = [site for site in activations if quantized_name(site) in made]
    if not sites:
        return dict(activations)
    nodes = [node for site in sites for node in extremes(site, quantized_name(site))]
    outputs = [node.output[0] for node in nodes]
    roomy.graph.node.extend(nodes)
    roomy.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.UINT8, None) for name in outputs
    )
    batches = np.array(run_over(session(roomy.SerializeToString()), pixels, outputs), np.int64)
    least, largest = batches[:, 0::2].min(axis=0), batches[:, 1::2].max(axis=0)
    result = dict(activations)
    for site, *integers in zip(sites, least, largest, strict=True):
        low, high = (
            float(quantizers[site].scale) * float(value - quantizers[site].zero_point)
            for value in integers
        )
        found = result[site]
        result[site] = replace(found, low=min(found.low, low), high=max(found.high, high))
    return result
