"""From an exported fp32 file to a fast one, whose features hold on images that it was not made by.

A form is chosen by what it loses in float. What integers lose on top is known once they are there,
and is little for most networks, but not for all: GoogLeNet's fast form lost 0.7 of a hundredth in
float and 1.1 on integers. So the file itself is compared with fp32, and where it does not hold,
there is another form that loses less.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.failures import Failure
from engine.backbones.model import METADATA_KEY
from engine.backbones.saturation import weight_levels
from engine.factorization.convolutions import Split, split_convolutions
from engine.factorization.float_model import FloatModel
from engine.graphs.files import load_onnx, metadata_of, without_weights
from engine.graphs.model_file import data_file
from engine.precision.comparison import TimedNetwork, compare
from engine.precision.fast import AIM, FastForm, fast_form, survey
from engine.precision.handover import ComparedFeatures, Pixels
from engine.precision.int8_file import write_int8, write_model
from engine.precision.margin import holds, is_settled, share_of
from engine.precision.parity import Parity
from engine.precision.verdict import objections_to
from engine.process.progress import Progress, no_progress

_log = logging.getLogger(__name__)

# Files that are made, at most; steps that progress counts.
_FILES, _STEPS = 3, 4

# The share of what features may lose that another file is to lose, two standard errors added.
_AIM_OF_FILE = 0.9

# How many times less than its last form's share the next form is to lose, at most.
_MOST_CAUTION = 3.0


@dataclass(frozen=True)
class FastFile:
    """What was written. levels: of int8 weights; None where it is not int8.

    seconds: what the making took, the comparison of this file aside.
    """

    levels: int | None
    ranks: dict[str, int]
    parity: Parity
    features: ComparedFeatures
    seconds: float


def write_fast(
    path: Path,
    record: Mapping[str, Any],
    pixels: Pixels,
    out: Path,
    progress: Progress = no_progress,
) -> FastFile:
    """Write a form of an exported fp32 model with fewer multiplications, int8 where that pays.

    Whether int8 pays is asked as `auto` asks it, of the float form and its int8. record: what the
    fp32 model says about itself. progress: counts four steps of about the same length, the last
    three again for each further file.

    Raises:
        Failure: it has no form that is faster and whose features hold.
    """
    progress(0, _STEPS)
    started, compared = time.perf_counter(), 0.0
    # Weights are mapped out of their file as long as they are only read.
    bare = without_weights(load_onnx(path), path)
    known = survey(FloatModel(bare, path.resolve().parent), pixels.calibration)
    form, aim = None, AIM
    for _ in range(_FILES):
        progress(1, _STEPS)
        form = fast_form(known, aim, form)
        if form is None:
            break
        progress(2, _STEPS)
        levels = _write_form(path, {**record, **_made_fast(form)}, (form.splits, pixels), out)
        progress(3, _STEPS)
        before = time.perf_counter()
        with TimedNetwork(path) as fp32, TimedNetwork(out) as other:
            parity, features = compare(fp32, other, pixels, is_settled)
        compared = time.perf_counter() - before
        progress(4, _STEPS)
        if holds(parity, features):
            seconds = time.perf_counter() - started - compared
            return FastFile(levels, form.ranks, parity, features, seconds)
        _log.info("another form: this one has %s", parity.summary())
        too_much = max(share_of(features) - _AIM_OF_FILE, 0.1)
        aim = max(min(aim, form.share) - too_much, form.share / _MOST_CAUTION)
    raise Failure(
        f"nothing of {_source(record)} can be split at a gain in speed that its features "
        "allow; choose another precision"
    )


def _made_fast(form: FastForm) -> dict[str, Any]:
    return {"precision": "fast", "factorization": {"ranks": form.ranks}}


def _write_form(
    path: Path,
    record: Mapping[str, Any],
    made: tuple[Mapping[str, Split], Pixels],
    out: Path,
) -> int | None:
    """Write a split form of an fp32 model; return its levels. record: what it says about itself."""
    splits, pixels = made
    # Under the same name, which the graph knows its data by.
    floats = out.parent / "floats" / out.name
    floats.parent.mkdir(exist_ok=True)
    for file in (floats, out):
        for each in (file, data_file(file)):
            each.unlink(missing_ok=True)
    model = load_onnx(path)
    split_convolutions(model, splits)
    in_float = {**record, "quantization": {"levels": None}}
    write_model(model, {**metadata_of(model), METADATA_KEY: json.dumps(in_float)}, floats)
    del model
    levels = weight_levels()
    on_integers = {**record, "quantization": {"levels": levels}}
    with TimedNetwork(floats) as fp32, TimedNetwork(out) as other:
        write_int8(load_onnx(floats), on_integers, pixels, out, fp32)
        parity, _ = compare(fp32, other, pixels)
    if not objections_to(parity):
        return levels
    for source, target in ((data_file(floats), data_file(out)), (floats, out)):
        target.unlink(missing_ok=True)
        if source.exists():
            source.replace(target)
    return None


def _source(record: Mapping[str, Any]) -> str:
    """Return what a user calls a backbone: its file's name, or its own."""
    provenance = record.get("provenance")
    named = provenance.get("source") if isinstance(provenance, dict) else None
    return str(named or record["backbone"])
