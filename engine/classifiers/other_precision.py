"""A head's backbone at another precision than that it was trained at: found, or made."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cache.failures import Failure, UsageFailure
from cache.store import FeatureCache
from engine.backbones.model import ModelFile
from engine.classifiers.change import Change, judging_images, measure_change
from engine.classifiers.find_backbone import NamedBackbone, caches_of, fp32_backbone_of
from engine.classifiers.judged_images import JudgedImages
from engine.graphs.session import available_cores
from engine.heads.head import Head
from engine.images.decode import DECODE_RULE
from engine.images.framing import Framing
from engine.precision.cached_model import cached_model, made_description, made_spaces
from engine.precision.calibration_set import Images
from engine.precision.choice import TooFewImages, make_candidate
from engine.sources.base import Sample

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeadPlace:
    """Where a head is, and what may be known of its backbone.

    path: of the head's folder, or of its file. cache: a further cache to look in. named: the
    backbone as far as the user names it.
    """

    path: Path
    cache: str | Path | None = None
    named: NamedBackbone | None = None

    @property
    def folder(self) -> Path:
        """The head's folder."""
        return self.path if self.path.is_dir() else self.path.parent


@contextmanager
def at_precision(
    head: Head, own: ModelFile, precision: str, place: HeadPlace, source: str | None = None
) -> Iterator[tuple[ModelFile, Change | None]]:
    """Give a head's backbone at `precision`, with what that changes in the head's answers.

    An int8 or fast model is the one of the head's cache, where that has one and no `source` is
    named; else it is made of training images, and is there as long as the block runs.

    own: the backbone that the head was trained on. precision: `fp32`, `int8` or `fast`.
    source: of images to calibrate and to measure on, others of it each; None for those that the
    head was trained and tested on. The change is None where there is no image to measure it on,
    which is logged as a warning.

    Raises:
        Failure: there is no fp32 form of the backbone, or no image to make another form by.
    """
    _log.info("the head was trained on %s features", own.description.precision)
    with (
        judging_images(head, place.folder, source) as (images, images_of),
        TemporaryDirectory() as scratch,
    ):
        model = None
        if precision != "fp32" and source is None:
            model = _kept_model(head, precision, place)
        if model is None:
            model = fp32_backbone_of(head, place.named)
            if precision != "fp32":
                model = _made_model(model, head, precision, images, Path(scratch))
        change = measure_change(head, (own, model), images, images_of) if images else None
        if change is None:
            _log.warning(
                "what %s changes in the head's answers was not measured: the images that it was "
                "tested on are not at hand; give a source of images like them",
                precision,
            )
        yield model, change


def _kept_model(head: Head, precision: str, place: HeadPlace) -> ModelFile | None:
    """Return the model of the head's cache with the most features of that precision, if any."""
    spaces = []
    for path in caches_of(place.folder, place.cache):
        try:
            cache = FeatureCache.open(path)
        except (Failure, OSError):
            continue
        spaces += list(made_spaces(cache, _fp32_space(head), precision))
    if not spaces:
        return None
    return cached_model(max(spaces, key=lambda space: len(space.index())))


def _fp32_space(head: Head) -> dict[str, object]:
    made_of = ("quantization", "factorization")
    rest = {key: value for key, value in head.description.items() if key not in made_of}
    return {**rest, "precision": "fp32"}


def _made_model(
    fp32: ModelFile, head: Head, precision: str, images: Sequence[JudgedImages], folder: Path
) -> ModelFile:
    most = max(images, key=lambda part: len(part.calibrating), default=None)
    samples: Sequence[Sample] = most.calibrating if most else ()
    if most is None or not samples:
        raise Failure(
            f"{precision} is made by images, and those that the head was trained on are not at "
            "hand; give a source of images like them"
        )
    chosen = Images(
        most.source,
        samples,
        Framing.of(head.description),
        DECODE_RULE,
        seed=0,
        threads=available_cores(),
    )
    try:
        candidate = make_candidate(fp32, chosen, folder, precision)
    except TooFewImages as few:
        raise Failure(
            f"{few}, of which half of a source, or the training images of a head, are taken; "
            "give a source with more"
        ) from few
    quantized = candidate.quantized
    description = made_description(fp32.description, quantized, quantized.digests)
    return ModelFile(candidate.file, quantized.digests, description)


def check_precision(precision: str | None, own: str, *, calibrated: bool) -> str:
    """Return the precision that a head is exported at. UsageFailure where that is not clear.

    precision: as asked for; None for the head's own. calibrated: whether images are named for it.
    """
    if precision == "auto":
        raise UsageFailure("a head is exported at one precision; choose fp32, int8 or fast")
    if calibrated and precision in (None, own):
        raise UsageFailure(
            f"the head is {own}, and stays so: images are wanted for another precision alone"
        )
    return precision or own
