"""A backbone to compare, as a user writes it in one word."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from cache.failures import UsageFailure
from cache.files import home_path
from engine.backbones.request import Geometry, backbone_request, size_of
from engine.images.framing import Framing
from engine.runner.extract import FeatureRequest

# How pictures are framed.
_FRAMING = ("interpolation", "crop")

_KEYS = ("weights", "layer", "pool", "size", "preprocessing", "precision", *_FRAMING)


@dataclass(frozen=True)
class Candidate:
    """A backbone to compare.

    name: what it is called in the tables, in few words. request: the features that it gives.
    """

    name: str
    request: FeatureRequest


def read_candidates(specs: Sequence[str]) -> list[Candidate]:
    """Return the backbones that users write as `NAME_OR_FILE?option=value&option=value`.

    As in `vgg16?layer=block5_pool&pool=avg` or `net.onnx?preprocessing=bgr:104,117,123/1,1,1`.

    Raises:
        UsageFailure: one cannot be read or does not exist, or the same is written twice.
    """
    candidates = [_read(spec) for spec in specs]
    for number, candidate in enumerate(candidates):
        if candidate.request in [other.request for other in candidates[:number]]:
            raise UsageFailure(f"{specs[number]} is there twice")
    names = [candidate.name for candidate in candidates]
    return [
        candidate if names.count(candidate.name) == 1 else Candidate(spec, candidate.request)
        for candidate, spec in zip(candidates, specs, strict=True)
    ]


def _read(spec: str) -> Candidate:
    backbone, _, query = spec.partition("?")
    # A plus is a plus: paths hold it more often than blanks are written so.
    pairs = parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)
    options = dict(pairs)
    unknown = [key for key in options if key not in _KEYS]
    if unknown or len(pairs) != len(options) or (query and not options):
        raise UsageFailure(
            f"{spec} cannot be read: write NAME?option=value&option=value with options of "
            f"{', '.join(_KEYS)}, each once"
        )
    size = options.get("size")
    geometry = Geometry(options.get("pool", "none"), None if size is None else size_of(size))
    request = backbone_request(
        str(home_path(backbone)) if backbone.startswith("~") else backbone,
        str(home_path(options.get("weights", "imagenet"))),
        options.get("layer"),
        options.get("preprocessing"),
        geometry,
    )
    name = Path(backbone).stem if request.is_file else backbone
    cut = [options[key] for key in ("layer", "pool", "size", "crop") if key in options]
    return Candidate(
        " ".join([name, *cut]),
        FeatureRequest(
            request,
            options.get("precision", "auto"),
            Framing(**{key: options[key] for key in _FRAMING if key in options}),
        ),
    )
