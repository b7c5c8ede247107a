"""Writing an int8 model, and any other, with what it says about itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from engine.backbones.model import METADATA_KEY
from engine.backbones.preprocessing import preprocessing_named
from engine.graphs.files import metadata_of, write_onnx
from engine.precision.handover import CalibrationPixels
from engine.quantization.quantize import quantize


def write_int8(
    model: onnx.ModelProto,
    record: Mapping[str, Any],
    pixels: CalibrationPixels,
    out: Path,
    file: Path | None = None,
) -> None:
    """Write the int8 form of a float model, which is used up. file: one that it was read from.

    record: what it says about itself.
    """
    int8 = quantize(
        model,
        preprocessing_named(record["preprocessing"]),
        pixels.calibration,
        levels=record["quantization"]["levels"],
        file=file,
    )
    write_model(int8, {**metadata_of(model), METADATA_KEY: json.dumps(record)}, out)


def write_model(model: onnx.ModelProto, metadata: Mapping[str, str], path: Path) -> None:
    """Write a model, which is used up, with what it says about itself."""
    onnx.helper.set_model_props(model, dict(metadata))
    write_onnx(model, path)
