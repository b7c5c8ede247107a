"""A float network that is to be computed on integers, and the scales of its tensors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from engine.backbones.preprocessing import NETWORK_INPUT, Preprocessing
from engine.quantization.pixel_input import PIXELS, PixelInput, fold_preprocessing
from engine.quantization.plan import Plan, plan_quantization

# Scales below this stand for nothing, and products of them would leave float32.
LEAST_SCALE = 1e-15


@dataclass(frozen=True)
class FloatNetwork:
    """A float model with where it will be computed on integers.

    pixels: where its pixels come from, if they are its first integers.
    """

    model: onnx.ModelProto
    plan: Plan
    pixels: PixelInput | None


def float_network(
    model: onnx.ModelProto,
    preprocessing: Preprocessing,
    *,
    keep_float: Iterable[str] = (),
    fold: bool = True,
) -> FloatNetwork:
    """Return an exported model with its plan; the model is changed where its pixels are folded.

    keep_float: outputs of nodes to leave in float. fold: whether the preprocessing goes into the
    first convolution, where that is possible.
    """
    pixels = fold_preprocessing(model, preprocessing, NETWORK_INPUT) if fold else None
    return FloatNetwork(model, plan_quantization(model.graph, keep_float), pixels)


@dataclass(frozen=True)
class Activations:
    """A tensor over all calibration images.

    low, high: its least and largest value. means: of each channel, float64 (C,); None where no
    layer with weights reads it.
    """

    low: float
    high: float
    means: np.ndarray | None


@dataclass(frozen=True)
class Quantizer:
    """The scale and zero point of a uint8 tensor: value = scale * (q - zero_point)."""

    scale: np.float32
    zero_point: int


def quantizer_for(low: float, high: float) -> Quantizer:
    """Return the quantizer that spans [low, high] and represents 0 exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255)
    if scale < LEAST_SCALE:
        return Quantizer(np.float32(1), 0)
    return Quantizer(scale, int(np.clip(np.rint(-low / scale), 0, 255)))


def quantizers_for(
    network: FloatNetwork, activations: Mapping[str, Activations]
) -> dict[str, Quantizer]:
    """Return each site's quantizer; sites of a group span what all of them hold."""
    group = network.plan.group
    ranges: dict[str, tuple[float, float]] = {}
    for site, values in activations.items():
        low, high = ranges.get(group[site], (0.0, 0.0))
        ranges[group[site]] = min(low, values.low), max(high, values.high)
    quantizers = {site: quantizer_for(*ranges[group[site]]) for site in network.plan.sites}
    if network.pixels is not None:
        quantizers[PIXELS] = Quantizer(np.float32(1), network.pixels.zero_point)
    return quantizers


def quantized_name(site: str) -> str:
    """Return the name of the uint8 tensor that a site of a plan is quantised to."""
    return f"{site}/q"
