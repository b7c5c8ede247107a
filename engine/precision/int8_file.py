"""Writing an int8 model, and any other, with what it says about itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from engine.backbones.model import METADATA_KEY
from engine.backbones.preprocessing import preprocessing_named
from engine.graphs.files import metadata_of, write_onnx
from engine.graphs.model_file import size_on_disk
from engine.precision.comparison import TimedNetwork
from engine.precision.handover import Pixels
from engine.precision.verdict import LEAST_TAKEN
from engine.quantization.quantize import quantize_seen, seen_in_float

# Bytes of an fp32 model that runs over images held out while it is made int8: of a larger one
# there is no room for two sessions and its weights at once.
_BESIDE = 2**28


def write_int8(
    model: onnx.ModelProto,
    record: Mapping[str, Any],
    pixels: Pixels,
    out: Path,
    fp32: TimedNetwork,
) -> None:
    """Write the int8 form of a float model, which is used up. record: what it says about itself.

    fp32: of the file that it was read from. It begins with images held out, on what is left of the
        processors: it is the longest work of all, and much of the rest runs on one of them.
    """
    preprocessing = preprocessing_named(record["preprocessing"])
    metadata = {**metadata_of(model), METADATA_KEY: json.dumps(record)}
    network, activations = seen_in_float(model, preprocessing, pixels.calibration, fp32.path)
    if size_on_disk(fp32.path) <= _BESIDE:
        fp32.begin(pixels.first(LEAST_TAKEN)[0])
    levels = record["quantization"]["levels"]
    int8 = quantize_seen(network, activations, pixels.calibration, levels=levels)
    write_model(int8, metadata, out)


def write_model(model: onnx.ModelProto, metadata: Mapping[str, str], path: Path) -> None:
    """Write a model, which is used up, with what it says about itself."""
    onnx.helper.set_model_props(model, dict(metadata))
    write_onnx(model, path)
