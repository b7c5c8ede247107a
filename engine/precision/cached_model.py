"""The int8 model of a feature space. It belongs to the cache, for its calibration came from there.

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

_REMEDY = (
    "the features are kept, but no more can be added to them: put a copy of the model back, "
    "or extract with another --cache"
)


def int8_description(fp32: ModelDescription, levels: int, digests: Digests) -> ModelDescription:
    """Return what an int8 model says about itself. levels: the largest magnitude of its weights."""
    return replace(
        fp32,
        precision="int8",
        quantization={"levels": levels, **digests.record("model", "data")},
    )


def keep_int8_model(
    cache: FeatureCache,
    fp32: ModelFile,
    quantized: Quantized,
    file: Path,
    identity: Mapping[str, Any],
) -> tuple[ModelFile, Space]:
    """Put an int8 model and its parity into the cache, in a space of its own.

    identity: of the decoded images, as `feature_space` takes it.
    """
    description = int8_description(fp32.description, quantized.levels, quantized.digests)
    space = cache.add_space(feature_space(description, **identity), description.features)
    final = space.path / MODEL_NAME
    # The graph last: a space whose graph is there has a model.
    for source, target in ((data_file(file), data_file(final)), (file, final)):
        if source.exists():
            copy_whole(source, target)
    space.write_note("parity", quantized.payload())
    return ModelFile(final, quantized.digests, description, _REMEDY), space


def int8_spaces(cache: FeatureCache, fp32: Mapping[str, Any]) -> Iterator[Space]:
    """Yield the spaces that hold int8 features, and a model, of the same backbone and images.

    fp32: the description of its fp32 space.
    """
    for space in cache.spaces():
        rest = {key: value for key, value in space.description.items() if key != "quantization"}
        if rest == {**fp32, "precision": "int8"} and (space.path / MODEL_NAME).is_file():
            yield space


def int8_model(space: Space) -> ModelFile:
    """Return the int8 model of a space; `Backbone` checks it when something is to be computed.

    Raises:
        Failure: the space has none, does not describe it, or has a link in its place.
    """
    path = space.path / MODEL_NAME
    if path.is_symlink():
        raise Failure(f"{path} is a link, which is refused; put the model itself in its place")
    if not path.is_file():
        raise Failure(f"the space {space.id} has lost its model; {_REMEDY}")
    known = [field.name for field in fields(ModelDescription) if field.name != "provenance"]
    try:
        values = {name: space.description[name] for name in known}
        quantization = values["quantization"]
        digests = Digests(quantization["model"], quantization.get("data"))
        levels = quantization["levels"]
        if not isinstance(levels, int):
            raise TypeError(levels)
        description = ModelDescription(**values, provenance={})
    except (KeyError, TypeError, ValueError) as error:
        raise Failure(f"the space {space.id} does not say which model it has") from error
    return ModelFile(path, digests, description, _REMEDY)
