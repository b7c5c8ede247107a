"""From an fp32 model file to an int8 or fast one beside its parity, in a process of its own."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from cache.failures import Failure
from engine.backbones.model import METADATA_KEY
from engine.backbones.preprocessing import preprocessing_named
from engine.backbones.saturation import weight_levels
from engine.factorization.convolutions import split_convolutions
from engine.factorization.float_model import FloatModel
from engine.graphs.files import load_onnx, metadata_of, without_weights, write_onnx
from engine.graphs.model_file import data_file, digests
from engine.precision.comparison import compare
from engine.precision.fast import fast_form
from engine.precision.handover import CalibrationPixels, Quantized, features_file
from engine.precision.verdict import objections_to
from engine.quantization.quantize import quantize


def quantize_file(
    path: Path, pixels: CalibrationPixels, out: Path, precision: str = "int8"
) -> Quantized:
    """Write the int8 or fast form of an exported fp32 model to `out` and measure its parity.

    The features that were compared are written beside it, see `features_file`.

    Raises:
        Failure: `path` is not what this exporter wrote, takes images of another size, or has no
            form that is fast.
    """
    started = time.perf_counter()
    model, record = _read_fp32(path)
    size = (record["height"], record["width"], 3)
    for images in (pixels.calibration, pixels.held_out):
        if images.shape[1:] != size:
            raise Failure(f"the pixels are of size {images.shape[1:]}, {path} takes {size}")
    levels: int | None = weight_levels()
    ranks = None
    if precision == "fast":
        del model
        levels, ranks = _write_fast(path, record, pixels, out)
    else:
        record |= {"precision": "int8", "quantization": {"levels": levels}}
        _write_int8(model, record, pixels, out, path)
        del model
    onnx.checker.check_model(out)
    seconds = time.perf_counter() - started
    parity, features = compare(path, out, pixels)
    features.write(features_file(out))
    return Quantized(digests(out), levels, len(pixels.calibration), seconds, parity, ranks)


def _write_int8(
    model: onnx.ModelProto,
    record: Mapping[str, Any],
    pixels: CalibrationPixels,
    out: Path,
    file: Path | None = None,
) -> None:
    """Write the int8 form of a float model, which is used up. file: one that it was read from."""
    int8 = quantize(
        model,
        preprocessing_named(record["preprocessing"]),
        pixels.calibration,
        levels=record["quantization"]["levels"],
        file=file,
    )
    _write(int8, {**metadata_of(model), METADATA_KEY: json.dumps(record)}, out)


def _write_fast(
    path: Path, record: Mapping[str, Any], pixels: CalibrationPixels, out: Path
) -> tuple[int | None, dict[str, int]]:
    """Write a form with fewer multiplications, int8 where that pays; return its levels and ranks.

    path: of the fp32 model. Whether int8 pays is asked as `auto` asks it, of the float form and its
    int8.
    """
    # Weights are mapped out of their file as long as they are only read.
    bare = without_weights(load_onnx(path), path)
    form = fast_form(FloatModel(bare, path.resolve().parent), pixels.calibration)
    if form is None:
        raise Failure(
            f"nothing of {_source(record)} can be split at a gain in speed that its features "
            "allow; choose another precision"
        )
    record = {**record, "precision": "fast", "factorization": {"ranks": form.ranks}}
    # Under the same name, which the graph knows its data by.
    floats = out.parent / "floats" / out.name
    floats.parent.mkdir()
    in_float = {**record, "quantization": {"levels": None}}
    model = load_onnx(path)
    split_convolutions(model, form.splits)
    _write(model, {**metadata_of(model), METADATA_KEY: json.dumps(in_float)}, floats)
    levels = weight_levels()
    record |= {"quantization": {"levels": levels}}
    _write_int8(load_onnx(floats), record, pixels, out, floats)
    parity, _ = compare(floats, out, pixels)
    if not objections_to(parity):
        return levels, form.ranks
    for source, target in ((data_file(floats), data_file(out)), (floats, out)):
        target.unlink(missing_ok=True)
        if source.exists():
            source.replace(target)
    return None, form.ranks


def _source(record: Mapping[str, Any]) -> str:
    """Return what a user calls a backbone: its file's name, or its own."""
    provenance = record.get("provenance")
    named = provenance.get("source") if isinstance(provenance, dict) else None
    return str(named or record["backbone"])


def _write(model: onnx.ModelProto, metadata: Mapping[str, str], path: Path) -> None:
    """Write a model, which is used up, with what it says about itself."""
    onnx.helper.set_model_props(model, dict(metadata))
    write_onnx(model, path)


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
