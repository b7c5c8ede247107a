"""fp32 or int8: what was asked for, what the cache has, or what pays and holds by measurement."""

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.failures import Failure, UsageFailure
from cache.store import FeatureCache, Space
from engine.backbones.backbone import ModelFile, feature_space
from engine.precision.cached_model import int8_model, int8_spaces, keep_int8_model
from engine.precision.calibration_set import LEAST, Images

_log = logging.getLogger(__name__)

# Of fewer images `auto` makes no int8 model, see docs/decisions/050.
MIN_IMAGES = 512

# The note on an fp32 space that auto has decided for.
_NOTE = "precision"


@dataclass(frozen=True)
class Choice:
    """The model to run, the space for its features, and why this precision."""

    model: ModelFile
    space: Space
    reason: str


def choose_precision(asked: str, model: ModelFile, cache: FeatureCache, images: Images) -> Choice:
    """Return the model and space for a precision: `fp32`, `int8` or `auto`.

    model: as it was exported. Where int8 is to be, its model is made once for a cache, of the
    cache's own images.

    Raises:
        Failure: there are too few images to calibrate on, or the cache's int8 model is of no use.
        UsageFailure: fp32 was asked of a file that is int8.
    """
    description = feature_space(model.description, **images.identity)
    if model.description.precision == "int8":
        if asked == "fp32":
            raise UsageFailure("--precision fp32: the backbone's file is int8; give its fp32 file")
        return Choice(model, _space(cache, description), "the backbone's file is int8")
    if asked == "fp32":
        return Choice(model, _space(cache, description), "asked for")
    known = list(int8_spaces(cache, description))
    if known:
        # A merged cache may have several: the one with the most features goes on.
        space = known[0] if len(known) == 1 else max(known, key=lambda each: len(each.index()))
        return Choice(int8_model(space), space, _known_parity(space))
    if asked == "auto":
        for space in cache.spaces():
            if dict(space.description) == description:
                note = space.notes().get(_NOTE, {}).get("reason", "the cache has fp32 features")
                return Choice(model, space, str(note))
        if len(images.samples) < MIN_IMAGES:
            reason = f"int8 pays from {MIN_IMAGES} images on"
            return Choice(model, _space(cache, description), reason)
    return _measured(asked, model, cache, images)


def _measured(asked: str, model: ModelFile, cache: FeatureCache, images: Images) -> Choice:
    """Make the int8 model, and take it if it was asked for or if it pays and holds."""
    from engine.precision.int8_making import (  # imports onnx, which little else needs
        TooFewImages,
        make_int8,
    )

    fp32 = feature_space(model.description, **images.identity)
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = make_int8(model, images, Path(folder))
        except TooFewImages as few:
            if asked == "int8":
                raise Failure(f"{few}; add some, or give --precision fp32") from few
            reason = f"fewer than {LEAST} different images to calibrate int8 on"
            return Choice(model, _space(cache, fp32), reason)
        objections = "; ".join(made.objections)
        if asked == "int8" or not objections:
            kept, space = keep_int8_model(cache, model, made.quantized, made.file, images.identity)
            if objections:
                _log.info("note: auto would not have chosen int8: %s", objections)
            return Choice(kept, space, made.quantized.parity.summary())
    space = _space(cache, fp32)
    reason = f"int8 was measured and left: {objections}"
    space.write_note(_NOTE, {**made.quantized.payload(), "reason": reason, "summary": reason})
    return Choice(model, space, reason)


def _space(cache: FeatureCache, description: Mapping[str, Any]) -> Space:
    return cache.add_space(description, int(description["features"]))


def _known_parity(space: Space) -> str:
    return str(space.notes().get("parity", {}).get("summary", "the cache has int8 features"))
