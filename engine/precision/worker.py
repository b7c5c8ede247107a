"""From an fp32 model file to an int8 one beside its measured parity, in a process of its own."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from cache.failures import Failure
from engine.backbones.backbone import METADATA_KEY
from engine.backbones.preprocessing import preprocessing_named
from engine.backbones.saturation import weight_levels
from engine.graphs.files import metadata_of, weights_elsewhere
from engine.graphs.session import run_over, session
from engine.precision.handover import CalibrationPixels, Quantized
from engine.precision.parity import measure_parity
from engine.process.digests import file_sha256
from engine.quantization.quantize import quantize


def quantize_file(path: Path, pixels: CalibrationPixels, out: Path) -> Quantized:
    """Write the int8 form of an exported fp32 model to `out` and measure its parity.

    Raises:
        Failure: `path` is not what this exporter wrote, or takes images of another size.
    """
    started = time.perf_counter()
    model, record = _read_fp32(path)
    size = (record["height"], record["width"], 3)
    for images in (pixels.calibration, pixels.held_out):
        if images.shape[1:] != size:
            raise Failure(f"the pixels are of size {images.shape[1:]}, {path} takes {size}")
    metadata = metadata_of(model)
    preprocessing = preprocessing_named(record["preprocessing"])
    levels = weight_levels()
    int8 = quantize(model, preprocessing, pixels.calibration, levels=levels, file=path)
    del model
    record |= {"precision": "int8", "quantization": {"levels": levels}}
    onnx.helper.set_model_props(int8, {**metadata, METADATA_KEY: json.dumps(record)})
    out.write_bytes(int8.SerializeToString())
    del int8
    onnx.checker.check_model(out)
    seconds = time.perf_counter() - started
    fp32_features, fp32_rate = _features(path, pixels.held_out)
    int8_features, int8_rate = _features(out, pixels.held_out)
    parity = measure_parity(
        fp32_features, int8_features, pixels.labels, rates=(fp32_rate, int8_rate)
    )
    return Quantized(file_sha256(out), levels, len(pixels.calibration), seconds, parity)


def _read_fp32(path: Path) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Read an exported fp32 model, and what it says about itself. Failure if it is none."""
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except (OSError, DecodeError) as error:
        raise Failure(f"{path} is not an ONNX file that can be read: {error}") from error
    try:
        record: dict[str, Any] = json.loads(metadata_of(model)[METADATA_KEY])
        preprocessing_named(record["preprocessing"])
        if record["precision"] != "fp32":
            raise Failure(f"{path} is {record['precision']}; only fp32 is made int8")
        if not all(isinstance(record[side], int) for side in ("height", "width")):
            raise TypeError(record)
    except (KeyError, ValueError, TypeError) as error:
        raise Failure(f"{path} was not written by python -m engine.export") from error
    if weights_elsewhere(model.graph):
        raise Failure(f"{path} keeps weights in other files; give one file that holds them all")
    return model, record


def _features(path: Path, pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the features of pixels and how many images a second were run."""
    runner = session(path)
    run_over(runner, pixels[:1], ["features"])  # the first run allocates
    started = time.perf_counter()
    batches = run_over(runner, pixels, ["features"])
    rate = len(pixels) / (time.perf_counter() - started)
    return np.concatenate([features for (features,) in batches]), rate
