"""From an fp32 model file to an int8 one beside its measured parity."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from cache.failures import Failure
from engine.backbones.backbone import METADATA_KEY
from engine.backbones.preprocessing import preprocessing_named
from engine.backbones.saturation import weight_levels
from engine.graphs.files import weights_elsewhere
from engine.graphs.session import run_over, session
from engine.precision.parity import Parity, measure_parity
from engine.precision.quantization_pixels import QuantizationPixels
from engine.process.child import run_in_child
from engine.process.digests import file_sha256
from engine.quantization.quantize import quantize


@dataclass(frozen=True)
class Quantized:
    """An int8 model.

    sha256: of its file. levels: the largest magnitude of its weights, see `backbones.saturation`.
    calibrated_on: how many images. seconds: what quantising took, parity aside.
    """

    sha256: str
    levels: int
    calibrated_on: int
    seconds: float
    parity: Parity

    def payload(self) -> dict[str, Any]:
        """Return all figures as JSON values."""
        return {
            "sha256": self.sha256,
            "levels": self.levels,
            "calibrated_on": self.calibrated_on,
            "seconds": round(self.seconds, 3),
            "parity": self.parity.payload(),
            "summary": self.parity.summary(),
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> "Quantized":
        """Return what `payload` gave. Raises KeyError or TypeError for anything else."""
        values = {name: payload[name] for name in cls.__dataclass_fields__}
        return cls(**{**values, "parity": Parity.of_payload(values["parity"])})


def quantize_file(path: Path, pixels: QuantizationPixels, out: Path) -> Quantized:
    """Write the int8 form of an exported fp32 model to `out` and measure its parity.

    Raises:
        Failure: `path` is not what this exporter wrote, or takes images of another size.
    """
    started = time.perf_counter()
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except (OSError, DecodeError) as error:
        raise Failure(f"{path} is not an ONNX file that can be read: {error}") from error
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    try:
        record = json.loads(metadata[METADATA_KEY])
        preprocessing = preprocessing_named(record["preprocessing"])
        size = (record["height"], record["width"], 3)
        if record["precision"] != "fp32":
            raise Failure(f"{path} is {record['precision']}; only fp32 is made int8")
    except (KeyError, ValueError, TypeError) as error:
        raise Failure(f"{path} was not written by python -m engine.export") from error
    if weights_elsewhere(model.graph):
        raise Failure(f"{path} keeps weights in other files; give one file that holds them all")
    for images in (pixels.calibration, pixels.held_out):
        if images.shape[1:] != size:
            raise Failure(f"the pixels are of size {images.shape[1:]}, {path} takes {size}")
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


def quantize_in_child(path: Path, pixels: QuantizationPixels, out: Path) -> Quantized:
    """Do the same in a process of its own, which takes the fp32 network's memory when it ends.

    Raises:
        Failure: see `quantize_file`, or it was killed.
        Interrupted: Ctrl-C reached it.
    """
    given = out.with_name("pixels.npz")
    pixels.write(given)
    arguments = [str(path), "--pixels", str(given), "--out", str(out)]
    return Quantized.of_payload(
        json.loads(run_in_child("engine.precision", arguments, "the making of int8"))
    )


def _features(path: Path, pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the features of pixels and how many images a second were run."""
    runner = session(path)
    run_over(runner, pixels[:1], ["features"])  # the first run allocates
    started = time.perf_counter()
    batches = run_over(runner, pixels, ["features"])
    rate = len(pixels) / (time.perf_counter() - started)
    return np.concatenate([features for (features,) in batches]), rate
