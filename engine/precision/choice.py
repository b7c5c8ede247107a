"""Which precision: what was asked for, what the cache has, or what pays and holds here."""

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from cache.commandline.words import counted
from cache.failures import Failure, UsageFailure
from cache.store import FeatureCache, Space
from engine.backbones.model import ModelFile, feature_space
from engine.precision.cached_model import (
    MADE_FOR_A_CACHE,
    MODEL_NAME,
    cached_model,
    keep_model,
    made_spaces,
)
from engine.precision.calibration_set import HELD_OUT, LEAST, Images, calibration_set
from engine.precision.handover import (
    ComparedFeatures,
    Quantized,
    features_file,
    make_model,
    read_features,
)
from engine.precision.verdict import objections_to

_log = logging.getLogger(__name__)

# Of fewer images `auto` makes no int8 model, see docs/decisions/050.
MIN_IMAGES = 512

# What is said of making a precision where it takes long.
_TAKES = MappingProxyType({"fast": "; that takes about as long as 250 images in fp32"})

# The note on an fp32 space that auto has decided for.
_NOTE = "precision"

# Ways to come to a model and a space: the exported file; the same, as the cache's features were
# computed; the cache's own int8 model; or one to be made and measured.
_EXPORTED, _CONTINUED, _CACHED, _MEASURED = "exported", "continued", "cached", "measured"


@dataclass(frozen=True)
class Choice:
    """The model to run, the space for its features, and why this precision."""

    model: ModelFile
    space: Space
    reason: str


def choose_precision(asked: str, model: ModelFile, cache: FeatureCache, images: Images) -> Choice:
    """Return the model and space for a precision: `fp32`, `int8`, `fast` or `auto`.

    model: as it was exported. Where int8 or fast is to be, its model is made once for a cache, of
    the cache's own images.

    Raises:
        Failure: there are too few images to calibrate on, or the cache's int8 model is of no use.
        UsageFailure: another precision was asked of a file that is int8 or fast.
    """
    settled = settled_choice(asked, model, cache, images.identity, len(images.samples))
    return settled or _measured(asked, model, cache, images)


def settled_choice(
    asked: str,
    model: ModelFile,
    cache: FeatureCache,
    identity: Mapping[str, Any],
    images: int | None = None,
) -> Choice | None:
    """Return the choice that needs no measurement, as one that the cache has made before.

    identity: of the decoded images, as `feature_space` takes it. images: how many there are; None
    to hear None where the choice hangs on that.

    Raises: as `choose_precision`.
    """
    file = model.description.precision
    if file != "fp32" and asked not in (file, "auto"):
        raise UsageFailure(
            f"the backbone's file is {file}; give its fp32 file, or another precision"
        )
    description = feature_space(model.description, **identity)
    fp32 = other = None
    # Where nothing is to choose, the other spaces need not even be sound.
    if asked != "fp32" and file == "fp32":
        fp32 = next((space for space in cache.spaces() if space.description == description), None)
        wanted = "int8" if asked == "auto" else asked
        other = _fullest(list(made_spaces(cache, description, wanted)))
    way, reason = _way(asked, model, (fp32, other), images)
    if way == _MEASURED:
        return None
    if way == _CACHED and other is not None:
        return Choice(cached_model(other), other, _noted(other, "parity", "summary") or reason)
    if way == _CONTINUED and fp32 is not None:
        return Choice(model, fp32, _noted(fp32, _NOTE, "reason") or reason)
    return Choice(model, _space(cache, description), reason)


def _way(
    asked: str,
    model: ModelFile,
    spaces: tuple[Space | None, Space | None],
    images: int | None,
) -> tuple[str, str]:
    """Return the way to a model, and why: the first rule of this table that applies.

    asked: the precision. spaces: the cache's of the same backbone and images, where it has them:
    fp32, and int8 or, where that is asked for, fast. images: how many there are, where that is
    known.
    """
    fp32, other = spaces
    file = model.description.precision
    few = images is not None and images < MIN_IMAGES
    rules = (
        (file != "fp32", _EXPORTED, f"the backbone's file is {file}"),
        (asked == "fp32", _EXPORTED, "asked for"),
        (other is not None, _CACHED, "the cache has such features"),
        (asked in MADE_FOR_A_CACHE, _MEASURED, "asked for"),
        (fp32 is not None, _CONTINUED, "the cache has fp32 features"),
        (few, _EXPORTED, f"int8 pays from {MIN_IMAGES} images on"),
        (True, _MEASURED, "its parity decides"),
    )
    return next((way, reason) for applies, way, reason in rules if applies)


def _fullest(spaces: list[Space]) -> Space | None:
    """Return the space with the most features; a merged cache may have several."""
    if len(spaces) > 1:
        return max(spaces, key=lambda space: len(space.index()))
    return spaces[0] if spaces else None


def _noted(space: Space, note: str, entry: str) -> str:
    """Return an entry of a space's note; empty where it has none."""
    return str(space.notes().get(note, {}).get(entry, ""))


def _measured(asked: str, model: ModelFile, cache: FeatureCache, images: Images) -> Choice:
    """Make the model, and take it if it was asked for or, int8 alone, if it pays and holds."""
    wanted = asked in MADE_FOR_A_CACHE
    fp32 = feature_space(model.description, **images.identity)
    with tempfile.TemporaryDirectory() as folder:
        try:
            precision = asked if wanted else "int8"
            candidate = make_candidate(model, images, Path(folder), precision)
        except TooFewImages as few:
            if wanted:
                raise Failure(f"{few}; add some, or choose fp32") from few
            reason = f"fewer than {LEAST} different images to calibrate int8 on"
            return Choice(model, _space(cache, fp32), reason)
        objections = "; ".join(candidate.objections)
        if wanted or not objections:
            made, space = keep_model(
                cache, model, candidate.quantized, candidate.file, images.identity
            )
            if objections:
                _log.info("note: auto would not have chosen %s: %s", precision, objections)
            _keep_features(space, candidate.digests, candidate.features.other)
            return Choice(made, space, candidate.quantized.parity.summary())
    space = _space(cache, fp32)
    _keep_features(space, candidate.digests, candidate.features.fp32)
    reason = f"int8 was measured and left: {objections}"
    space.write_note(_NOTE, {**candidate.quantized.payload(), "reason": reason, "summary": reason})
    return Choice(model, space, reason)


def _keep_features(space: Space, digests: np.ndarray, features: np.ndarray) -> None:
    """Keep what the comparison computed: the pass finds it in the cache.

    The space's own network ran over the images, as it will over the others. What is not finite is
    left to the pass, which says so.
    """
    fresh = np.isfinite(features).all(axis=1) & ~space.index().contains(digests)
    if fresh.any():
        space.append(digests[fresh], features[fresh])


def _space(cache: FeatureCache, description: Mapping[str, Any]) -> Space:
    return cache.add_space(description, int(description["features"]))


class TooFewImages(Failure):
    """A source has too few different images to calibrate on."""


@dataclass(frozen=True)
class Candidate:
    """An int8 or fast model in a folder of its own, with what `auto` would have against it.

    features: those that were compared. digests: uint8 (N, 32), of their images.
    """

    file: Path
    quantized: Quantized
    objections: list[str]
    features: ComparedFeatures
    digests: np.ndarray


def make_candidate(model: ModelFile, images: Images, folder: Path, precision: str) -> Candidate:
    """Make the int8 or fast form of an exported fp32 model, in `folder`.

    Raises:
        TooFewImages: as it says.
        Failure, Interrupted: see `engine.precision.handover.make_model`.
    """
    size = (model.description.height, model.description.width)
    chosen = calibration_set(images, size, precision)
    if chosen is None:
        raise TooFewImages(f"{precision} needs {LEAST} different images to calibrate on")
    _log.info(
        "calibrating %s, once, on %s and comparing it with fp32 on up to %s%s",
        precision,
        counted(len(chosen.calibration), "image"),
        counted(min(HELD_OUT, len(images.samples) - len(chosen.calibration)), "other"),
        _TAKES.get(precision, ""),
    )
    file = folder / MODEL_NAME
    quantized = make_model(model.path, chosen, file, precision)
    features = read_features(features_file(file))
    return Candidate(
        file,
        quantized,
        objections_to(quantized.parity),
        features,
        chosen.digests(len(features.fp32)),
    )
