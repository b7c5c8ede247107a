"""From a head to the backbone that it was trained on."""

import argparse
import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from cache.failures import Failure, UsageFailure
from cache.notes import TITLE_NOTE
from cache.store import Space, space_id
from engine.backbones.architectures import ARCHITECTURES
from engine.backbones.model import ModelDescription, ModelFile, feature_space, read_description
from engine.backbones.options import geometry_from
from engine.backbones.request import ITS_OWN, BackboneRequest, Geometry, backbone_request
from engine.backbones.store import exported_model, store_folder
from engine.heads.files import read_metrics
from engine.heads.head import Head
from engine.images.decode import DECODE_RULE
from engine.images.framing import Framing
from engine.precision.cached_model import MADE_FOR_A_CACHE, MODEL_NAME, cached_model

_log = logging.getLogger(__name__)

# Characters of what differs, as of a digest, that a message has.
_SHOWN = 12


@dataclass(frozen=True)
class NamedBackbone:
    """A backbone as far as the user names it; the head's description has the rest."""

    backbone: str | None = None
    weights: str | None = None
    layer: str | None = None
    preprocessing: str | None = None
    geometry: Geometry = ITS_OWN

    def request(self, head: Head) -> BackboneRequest:
        """Return the whole request. UsageFailure if its parts do not fit together."""
        own = head.description
        backbone = self.backbone or str(own.get("backbone"))
        layer = self.layer or str(own.get("layer"))
        preprocessing = self.preprocessing or str(own.get("preprocessing"))
        pool = self.geometry.pool if self.geometry.pool != "none" else str(own.get("pool", "none"))
        geometry = replace(self.geometry, pool=pool)
        if geometry.size is None:
            geometry = replace(geometry, size=_other_size(backbone, own))
        weights = self.weights or "imagenet"
        return backbone_request(backbone, weights, layer, preprocessing, geometry)


def _other_size(backbone: str, description: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the size of a head's images; None where it is that of the network it names."""
    size = (int(description.get("height", 0)), int(description.get("width", 0)))
    architecture = ARCHITECTURES.get(backbone)  # None for a file, which may leave its size open
    return size if all(size) and (architecture is None or size != architecture.size) else None


def named_backbone(arguments: argparse.Namespace) -> NamedBackbone | None:
    """Return what the backbone options name; None if none of them was given."""
    named = NamedBackbone(
        arguments.backbone,
        arguments.weights,
        arguments.layer,
        arguments.preprocessing,
        geometry_from(arguments),
    )
    return None if named == NamedBackbone() else named


def _check(head: Head) -> None:
    """Raise Failure for a head whose features this release does not compute.

    They are those of one decode rule, one interpolation and one backbone; with any other the head
    would answer, and wrongly.
    """
    decode = head.description.get("decode")
    if decode != DECODE_RULE:
        raise Failure(
            f"the head was trained on images decoded by the rule {decode}, this release decodes by "
            f"{DECODE_RULE}; extract the images again and train a new head"
        )
    if space_id(head.description) != head.space:
        raise Failure("the head's description is not that of its feature space; train it again")
    try:
        Framing.of(head.description)
    except UsageFailure:
        raise Failure(
            "the head does not say how images are resized for it; train it again"
        ) from None
    if head.description.get("features") != head.weights.shape[0]:
        raise Failure("the head does not have the size of its features; train it again")


def backbone_of(
    head: Head,
    path: Path,
    cache: str | Path | None,
    named: NamedBackbone | None,
) -> ModelFile:
    """Return the model whose features `head` was trained on.

    path: of the head or its folder; a head inside a cache finds the models of that cache.
    cache: a further cache to look in.
    named: what the user names; None to look in the caches and among the exported models.

    Raises:
        UsageFailure: what is named is another backbone than the head's.
        Failure: the head is not for this release's features, see `_check`, or there is no such
            model; the message says how to name or make it.
    """
    _check(head)
    if named is not None:
        model = exported_model(named.request(head))
        if not _fits(model.description, head):
            raise UsageFailure(_difference(_space(model.description, head), head.description))
        return model
    folder = path if path.is_dir() else path.parent
    for model in chain(_models_in_caches(head, folder, cache), _exported_models()):
        if _fits(model.description, head):
            return model
    raise Failure(_advice(head.description, head.notes))


def _models_in_caches(head: Head, folder: Path, cache: str | Path | None) -> Iterator[ModelFile]:
    """Yield the models that caches keep for the head's space."""
    if head.description.get("precision") not in MADE_FOR_A_CACHE:
        return
    for place in caches_of(folder, cache):
        space = place / "spaces" / head.space
        if (space / MODEL_NAME).exists():
            yield cached_model(Space.open(space))


def caches_of(folder: Path, cache: str | Path | None) -> list[Path]:
    """Return where a head's features may be: a cache that is named, and those that it knows.

    folder: of the head. That of `heads/NAME` is its cache's; one elsewhere has the path of its
    cache in its metrics.
    """
    places = [*([Path(cache)] if cache else []), folder.resolve().parent.parent]
    told = read_metrics(folder).get("cache")  # an earlier release's says none
    return [*places, Path(told)] if isinstance(told, str) else places


def fp32_backbone_of(head: Head, named: NamedBackbone | None) -> ModelFile:
    """Return the fp32 form of the backbone that `head` was trained on, of whatever precision.

    named: what the user names; None to look among the exported models.

    Raises:
        UsageFailure: what is named is another backbone than the head's.
        Failure: there is no such model; the message says how to name it.
    """
    _check(head)
    wanted = _any_precision(head.description)
    if named is not None:
        model = exported_model(named.request(head))
        given = _space(model.description, head)
        if model.description.precision != "fp32" or _any_precision(given) != wanted:
            raise UsageFailure(_difference(given, {**wanted, "precision": "fp32"}))
        return model
    for model in _exported_models():
        space = _space(model.description, head)
        if model.description.precision == "fp32" and _any_precision(space) == wanted:
            return model
    raise Failure(_advice({**wanted, "precision": "fp32"}, head.notes))


def _any_precision(description: Mapping[str, Any]) -> dict[str, Any]:
    made_of = ("precision", "quantization", "factorization")
    return {key: value for key, value in description.items() if key not in made_of}


def _exported_models() -> Iterator[ModelFile]:
    for record in sorted(store_folder().glob("*/model.json")):
        with contextlib.suppress(Failure):  # another model's damage is no matter of this head
            yield read_description(record, record.with_name("model.onnx"))


def _fits(model: ModelDescription, head: Head) -> bool:
    return _space(model, head) == dict(head.description)


def _space(model: ModelDescription, head: Head) -> dict[str, Any]:
    return feature_space(model, **Framing.of(head.description).identity, decode_rule=DECODE_RULE)


def _difference(given: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Return one line on what the space of a model has unlike the head's."""
    key = next(key for key in (*own, *given) if given.get(key) != own.get(key))
    named, trained = (str(space.get(key))[:_SHOWN] for space in (given, own))
    if key == "weights":
        return (
            f"the head was trained with other weights ({trained}...) than those that you name "
            f"({named}...); leave the weights out, and the head finds its own"
        )
    return (
        f"the head was trained on {key} {trained}, the backbone that you name has {named}; name "
        "the head's own, or leave it out"
    )


def _advice(own: Mapping[str, Any], notes: Mapping[str, Any]) -> str:
    """Return one line on how to come by the backbone of a head. own: the head's description."""
    name, weights = str(own.get("backbone")), str(own.get("weights"))[:12]
    names = notes.get(TITLE_NOTE)
    shown = names.get("backbone", name) if isinstance(names, dict) else name
    title = f"{shown} at {own.get('layer')}, {own.get('precision')}, weights {weights}..."
    missing = f"the head's backbone ({title}) is not among the models in {store_folder()}"
    if own.get("precision") != "fp32":
        return f"{missing}; give the cache that the head was trained on"
    if name in ARCHITECTURES:
        return f"{missing}; say which it is: backbone {name} with weights FILE or random:SEED"
    return f"{missing}; say where its file is: backbone FILE.onnx or FILE.keras"
