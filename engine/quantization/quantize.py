"""fp32 ONNX + calibration pixels -> int8 ONNX."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import version_converter

from engine.backbones.preprocessing import Preprocessing
from engine.graphs.walk import operator_set
from engine.quantization.network import Activations, FloatNetwork, float_network, quantizers_for
from engine.quantization.pixel_channels import repeat_channel
from engine.quantization.pixel_groups import group_pixels
from engine.quantization.qdq import write_qdq
from engine.quantization.ranges import calibrate, seen_in_int8, with_room
from engine.quantization.rounding import Layers, round_layers

# The first that has a scale for each channel.
_OPERATOR_SET = 13

# Images that are run in fp32. Means are steady after a few, and ranges are widened by the others.
IN_FLOAT = 4


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
        first IN_FLOAT count for more. levels: see `engine.quantization.rounding.quantize_weights`.
    file: one that the model was read from, see `engine.quantization.ranges.calibrate`.
    """
    network, activations = seen_in_float(model, preprocessing, pixels, file)
    return quantize_seen(network, activations, pixels, levels=levels)


def seen_in_float(
    model: onnx.ModelProto, preprocessing: Preprocessing, pixels: np.ndarray, file: Path | None
) -> tuple[FloatNetwork, dict[str, Activations]]:
    """Return what an exported model is to become, and its activations over the first images.

    The first half of `quantize`, with its arguments.
    """
    if operator_set(model) < _OPERATOR_SET:
        model = version_converter.convert_version(model, _OPERATOR_SET)
        file = None  # a constant of that name may be another now
    network = float_network(model, preprocessing)
    return network, calibrate(network, pixels[:IN_FLOAT], file)


def quantize_seen(
    network: FloatNetwork,
    activations: Mapping[str, Activations],
    pixels: np.ndarray,
    *,
    levels: int,
) -> onnx.ModelProto:
    """Return the int8 form of a network: the second half of `quantize`, which needs less memory."""
    layers = round_layers(network, activations, levels=levels)
    if len(pixels) > IN_FLOAT:
        activations = over_more_images(network, activations, layers, pixels[IN_FLOAT:])
    return integer_form(network, activations, layers)


def over_more_images(
    network: FloatNetwork,
    activations: Mapping[str, Activations],
    layers: Layers,
    pixels: np.ndarray,
) -> dict[str, Activations]:
    """Return activations of a few images with ranges that take in those of `pixels` as well."""
    roomy = with_room(network, activations)
    int8 = integer_form(network, roomy, layers)
    return seen_in_int8(int8, quantizers_for(network, roomy), activations, pixels)


def integer_form(
    network: FloatNetwork, activations: Mapping[str, Activations], layers: Layers
) -> onnx.ModelProto:
    """Return the int8 form of a float network whose activations and layers are known.

    activations: of each site of the plan.
    """
    int8 = write_qdq(network, quantizers_for(network, activations), layers)
    if not group_pixels(int8):
        repeat_channel(int8)
    return int8
