"""From an fp32 model file to an int8 one beside its measured parity, in a process of its own."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from cache.failures import Failure
from engine.backbones.model import METADATA_KEY
from engine.backbones.preprocessing import preprocessing_named
from engine.backbones.saturation import weight_levels
from engine.graphs.files import load_onnx, metadata_of, write_onnx
from engine.graphs.model_file import digests
from engine.graphs.session import run_over, session
from engine.precision.handover import (
    CalibrationPixels,
    ComparedFeatures,
    Quantized,
    features_file,
)
from engine.precision.parity import Parity, measure_parity
from engine.precision.verdict import is_clear
from engine.quantization.quantize import quantize

# Images held out after which the comparison may end, before all.
STAGES = (16, 32, 64)


def quantize_file(path: Path, pixels: CalibrationPixels, out: Path) -> Quantized:
    """Write the int8 form of an exported fp32 model to `out` and measure its parity.

    The features that were compared are written beside it, see `features_file`.

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
    write_onnx(int8, out)
    del int8
    onnx.checker.check_model(out)
    seconds = time.perf_counter() - started
    parity, features = compare(path, out, pixels)
    features.write(features_file(out))
    return Quantized(digests(out), levels, len(pixels.calibration), seconds, parity)


def compare(fp32: Path, other: Path, pixels: CalibrationPixels) -> tuple[Parity, ComparedFeatures]:
    """Compare two models on images held out, on as many of STAGES as their verdict needs."""
    networks = _Timed(fp32), _Timed(other)
    labels = pixels.labels
    for count in (*(stage for stage in STAGES if stage < len(labels)), len(labels)):
        for network in networks:
            network.run(pixels.held_out[:count])
        features = ComparedFeatures(*(network.features for network in networks))
        parity = measure_parity(
            features.fp32,
            features.other,
            labels[:count],
            rates=(networks[0].rate, networks[1].rate),
        )
        if is_clear(parity):
            break
    return parity, features


class _Timed:
    """A network's features of images that become more, and how fast it ran."""

    def __init__(self, path: Path) -> None:
        self._session = session(path)
        self._parts: list[np.ndarray] = []
        self._images, self._seconds = 0, 0.0

    @property
    def features(self) -> np.ndarray:
        """The features so far, float32 (N, D)."""
        return np.concatenate(self._parts)

    @property
    def rate(self) -> float:
        """Images a second."""
        return self._images / self._seconds

    def run(self, pixels: np.ndarray) -> None:
        """Run those of the images, uint8 (N, H, W, 3), that it has no features of."""
        if not self._images:
            run_over(self._session, pixels[:1], ["features"])  # the first run allocates
        started = time.perf_counter()
        batches = run_over(self._session, pixels[self._images :], ["features"])
        self._seconds += time.perf_counter() - started
        self._images = len(pixels)
        self._parts += [features for (features,) in batches]


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
