"""fp32 or int8: what was asked for, what the cache has, or what pays and holds by measurement."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.failures import Failure, UsageFailure
from cache.store import FeatureCache, Space
from engine.backbone import ModelFile, feature_space
from engine.calibration_images import LEAST, calibration_pixels
from engine.int8_models import int8_model, int8_spaces, keep_int8_model
from engine.parity import Parity
from engine.quantizing import QuantizationPixels, quantize_in_child
from engine.sources import Sample, Source

# What `auto` asks of int8, see docs/decisions/050.
MIN_IMAGES = 512
MIN_GAIN = 1.3
MIN_COSINE_MEAN, MIN_COSINE_P1 = 0.99, 0.97
MAX_ACCURACY_LOSS = 0.02

# The note on an fp32 space that auto has decided for.
_NOTE = "precision"


@dataclass(frozen=True)
class Images:
    """Where calibration images come from, and how they are decoded."""

    source: Source
    samples: Sequence[Sample]
    interpolation: str
    decode_rule: str
    seed: int
    threads: int

    @property
    def identity(self) -> dict[str, Any]:
        """What of it is part of a feature space."""
        return {"interpolation": self.interpolation, "decode_rule": self.decode_rule}


@dataclass(frozen=True)
class Choice:
    """The model to run, the space for its features, and why this precision."""

    model: ModelFile
    space: Space
    reason: str


def choose_precision(
    asked: str, model: ModelFile, cache: FeatureCache, images: Images, say: Callable[[str], None]
) -> Choice:
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
    return _measured(asked, model, cache, images, say)


def _measured(
    asked: str, model: ModelFile, cache: FeatureCache, images: Images, say: Callable[[str], None]
) -> Choice:
    """Make the int8 model, and take it if it was asked for or if it pays and holds."""
    size = (model.description.height, model.description.width)
    pixels = calibration_pixels(
        images.source,
        images.samples,
        size=size,
        interpolation=images.interpolation,
        seed=images.seed,
        threads=images.threads,
    )
    if pixels is None and asked == "auto":
        reason = f"fewer than {LEAST} different images to calibrate int8 on"
        return Choice(
            model, _space(cache, feature_space(model.description, **images.identity)), reason
        )
    if pixels is None:
        raise Failure(
            f"int8 needs {LEAST} different images to calibrate on; add some, or give "
            "--precision fp32"
        )
    say(
        f"calibrating int8 on {len(pixels.calibration)} images and comparing it with fp32 on "
        f"{len(pixels.held_out)} others, once for this cache; "
        f"takes about as long as {_cost(pixels)} images"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "int8.onnx"
        quantized = quantize_in_child(model.path, pixels, file)
        objections = objections_to(quantized.parity)
        if asked == "int8" or not objections:
            kept, space = keep_int8_model(cache, model, quantized, file, images.identity)
            if objections:
                say(f"note: auto would not have chosen int8: {'; '.join(objections)}")
            return Choice(kept, space, quantized.parity.summary())
    space = _space(cache, feature_space(model.description, **images.identity))
    reason = f"int8 was measured and left: {'; '.join(objections)}"
    space.write_note(_NOTE, {**quantized.payload(), "reason": reason, "summary": reason})
    return Choice(model, space, reason)


def _cost(pixels: QuantizationPixels) -> int:
    """Return how many fp32 passes the calibration and the comparison are worth, about."""
    return len(pixels.calibration) + round(1.3 * len(pixels.held_out))


def objections_to(parity: Parity) -> list[str]:
    """Return what speaks against int8 by the thresholds of `auto`; nothing if it may be taken."""
    found = []
    if parity.gain < MIN_GAIN:
        found.append(f"{parity.gain:.2f} times as fast is below {MIN_GAIN}")
    if parity.cosine_mean < MIN_COSINE_MEAN:
        found.append(f"mean cosine {parity.cosine_mean:.4f} is below {MIN_COSINE_MEAN}")
    if parity.cosine_p1 < MIN_COSINE_P1:
        found.append(
            f"1st percentile of the cosine {parity.cosine_p1:.4f} is below {MIN_COSINE_P1}"
        )
    if parity.head is not None and parity.head.fp32 - parity.head.int8 > MAX_ACCURACY_LOSS:
        found.append(f"head accuracy {parity.head.int8:.4f} instead of {parity.head.fp32:.4f}")
    return found


def _space(cache: FeatureCache, description: Mapping[str, Any]) -> Space:
    return cache.add_space(description, int(description["features"]))


def _known_parity(space: Space) -> str:
    return str(space.notes().get("parity", {}).get("summary", "the cache has int8 features"))
