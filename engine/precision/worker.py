"""From an fp32 model file to an int8 or fast one beside its parity, in a process of its own."""

import json
import time
from pathlib import Path
from typing import Any

import onnx

from cache.failures import Failure
from engine.backbones.model import METADATA_KEY
from engine.backbones.preprocessing import preprocessing_named
from engine.backbones.saturation import weight_levels
from engine.graphs.files import load_onnx, metadata_of
from engine.graphs.model_file import digests
from engine.precision.comparison import TimedNetwork, compare
from engine.precision.fast_file import write_fast
from engine.precision.handover import Pixels, Quantized, features_file
from engine.precision.int8_file import write_int8
from engine.process.progress import Progress, no_progress


def quantize_file(
    path: Path,
    pixels: Pixels,
    out: Path,
    precision: str = "int8",
    progress: Progress = no_progress,
) -> Quantized:
    """Write the int8 or fast form of an exported fp32 model to `out` and measure its parity.

    The features that were compared are written beside it, see `features_file`. progress: of a fast
    form, see `write_fast`.

    Raises:
        Failure: `path` is not what this exporter wrote, takes images of another size, or has no
            form that is fast.
    """
    started = time.perf_counter()
    model, record = _read_fp32(path)
    size = (record["height"], record["width"], 3)
    for images in (pixels.calibration, pixels.first(1)[0]):
        if images.shape[1:] != size:
            raise Failure(f"the pixels are of size {images.shape[1:]}, {path} takes {size}")
    calibrated_on = len(pixels.calibration)
    if precision == "fast":
        del model
        fast = write_fast(path, record, pixels, out, progress)
        onnx.checker.check_model(out)
        fast.features.write(features_file(out))
        return Quantized(
            digests(out), fast.levels, calibrated_on, fast.seconds, fast.parity, fast.ranks
        )
    levels = weight_levels()
    record |= {"precision": "int8", "quantization": {"levels": levels}}
    with TimedNetwork(path) as fp32, TimedNetwork(out) as other:
        write_int8(model, record, pixels, out, fp32)
        del model
        onnx.checker.check_model(out)
        seconds = time.perf_counter() - started
        parity, features = compare(fp32, other, pixels)
    features.write(features_file(out))
    return Quantized(digests(out), levels, calibrated_on, seconds, parity)


def _read_fp32(path: Path) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Read an exported fp32 model, and what it says about itself. Failure if it is none."""
    model = load_onnx(path)
    try:
        record: dict[str, Any] = json.loads(metadata_of(model)[METADATA_KEY])
        preprocessing_named(record["preprocessing"])
        if record["precision"] != "fp32":
            raise Failure(f"{path} is {record['precision']}; only fp32 is made int8")
        if not all(isinstance(record[side], int) for side in ("height", "width")):
            raise TypeError(record)
    except (KeyError, ValueError, TypeError) as error:
        raise Failure(f"{path} was not written by python -m engine.export") from error
    return model, record
