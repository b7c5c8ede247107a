"""The int8 or fast model of a feature space. It belongs to the cache, which it was calibrated on.

`spaces/ID/model.onnx`, with its larger constants in `model.onnx.data`; the space's description
names the SHA-256 of both and the largest magnitude of its weights (`quantization`), so that a cache
copied elsewhere is extended there with the same model. Caches of earlier releases have one file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from cache.failures import Failure
from cache.files import copy_whole
from cache.space import Space
from cache.store import FeatureCache
from engine.backbones.model import ModelDescription, ModelFile, feature_space
from engine.graphs.model_file import Digests, data_file
from engine.precision.handover import Quantized

MODEL_NAME = "model.onnx"

# Precisions of which each space has a model of its own.
MADE_FOR_A_CACHE = ("int8", "fast")

_REMEDY = (
    "the features are kept, but no more can be added to them: put a copy of the model back, "
    "or extract into another cache"
)


def made_description(
    fp32: ModelDescription, quantized: Quantized, digests: Digests
) -> ModelDescription:
    """Return what an int8 or fast model says about itself. digests: of its files."""
    ranks = quantized.ranks
    return replace(
        fp32,
        precision="int8" if ranks is None else "fast",
        quantization={"levels": quantized.levels, **digests.record("model", "data")},
        factorization=None if ranks is None else {"ranks": dict(ranks)},
    )


def keep_model(
    cache: FeatureCache,
    fp32: ModelFile,
    quantized: Quantized,
    file: Path,
    identity: Mapping[str, Any],
) -> tuple[ModelFile, Space]:
    """Put an int8 or fast model and its parity into the cache, in a space of its own.

    identity: of the decoded images, as `feature_space` takes it.
    """
    description = made_description(fp32.description, quantized, quantized.digests)
    space = cache.add_space(feature_space(description, **identity), description.features)
    final = space.path / MODEL_NAME
    # The graph last: a space whose graph is there has a model.
    for source, target in ((data_file(file), data_file(final)), (file, final)):
        if source.exists():
            copy_whole(source, target)
    space.write_note("parity", quantized.payload())
    return ModelFile(final, quantized.digests, description, _REMEDY), space


def made_spaces(cache: FeatureCache, fp32: Mapping[str, Any], precision: str) -> Iterator[Space]:
    """Yield the spaces that hold a precision, and its model, of the same backbone and images.

    fp32: the description of its fp32 space.
    """
    made_of = ("quantization", "factorization")
    for space in cache.spaces():
        rest = {key: value for key, value in space.description.items() if key not in made_of}
        if rest == {**fp32, "precision": precision} and (space.path / MODEL_NAME).is_file():
            yield space


def cached_model(space: Space) -> ModelFile:
    """Return the model of a space; `Backbone` checks it when something is to be computed.

    Raises:
        Failure: the space has none, does not describe it, or has a link in its place.
    """
    path = space.path / MODEL_NAME
    if path.is_symlink():
        raise Failure(f"{path} is a link, which is refused; put the model itself in its place")
    if not path.is_file():
        raise Failure(f"the space {space.id} has lost its model; {_REMEDY}")
    absent = {"factorization": None, "pool": "none", **space.description}
    known = [field.name for field in fields(ModelDescription) if field.name != "provenance"]
    try:
        values = {name: absent[name] for name in known}
        quantization = values["quantization"]
        digests = Digests(quantization["model"], quantization.get("data"))
        levels = quantization["levels"]
        fast_alone = values["precision"] == "fast" and levels is None
        if not isinstance(levels, int) and not fast_alone:
            raise TypeError(levels)
        description = ModelDescription(**values, provenance={})
    except (KeyError, TypeError, ValueError) as error:
        raise Failure(f"the space {space.id} does not say which model it has") from error
    return ModelFile(path, digests, description, _REMEDY)
