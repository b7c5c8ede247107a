"""A backbone that this exporter wrote before, taken as it is."""

import json
from dataclasses import replace
from pathlib import Path

import onnx
from onnx import TensorProto

from cache.failures import Failure, UsageFailure
from engine.backbones.model import METADATA_KEY, ModelDescription
from engine.backbones.request import BackboneRequest
from engine.exporters.network import graph_of
from engine.graphs.files import metadata_of, write_onnx
from engine.graphs.model_file import digests


def is_own(model: onnx.ModelProto) -> bool:
    """Tell whether an ONNX model says that it was exported here."""
    return bool(metadata_of(model).get(METADATA_KEY))


def adopt(request: BackboneRequest, model: onnx.ModelProto, path: Path) -> ModelDescription:
    """Write a model that was exported here, the file of `request`, to `path`.

    Raises:
        Failure: it is not what it says about itself.
        UsageFailure: it is a whole classifier, or the request wants something else of it.
    """
    source = Path(request.backbone)
    description = _description(source, model)
    pool = None if request.geometry.pool == "none" else request.geometry.pool
    for option, asked, answer in (
        ("layer", request.layer, description.layer),
        ("preprocessing", request.preprocessing, description.preprocessing),
        ("pool", pool, description.pool),
    ):
        if asked not in (None, answer):
            raise UsageFailure(f"{option} {asked}: {source} was exported with {answer}")
    own = (description.height, description.width)
    if request.geometry.size not in (None, own):
        raise UsageFailure(
            f"{source} takes images of {own[0]} x {own[1]} pixels alone; leave the size out"
        )
    if description.quantization is not None:
        # A file cannot hold its own digest, by which two calibrations are told apart.
        files = digests(source).record("model", "data")
        description = replace(description, quantization={**description.quantization, **files})
    write_onnx(model, path)
    return description


def _description(source: Path, model: onnx.ModelProto) -> ModelDescription:
    """Return what a model says about itself, where that is so."""
    try:
        record = json.loads(metadata_of(model)[METADATA_KEY])
        if "classes" in record:
            raise UsageFailure(f"{source} is a whole classifier, not a backbone")
        description = ModelDescription(**record)
        graph = graph_of(model, {}, "features", TensorProto.UINT8)
        quantization = dict(description.quantization or {})
        if (description.precision != "fp32") != bool(quantization):
            raise ValueError("what is not fp32 goes with a quantization")
    except UsageFailure:
        raise
    except (ValueError, TypeError, Failure) as error:
        raise Failure(f"{source} does not say what it is, though it says who made it") from error
    size = (description.height, description.width)
    if (graph.image, graph.size, graph.features) != ("images", size, description.features):
        raise Failure(f"{source} is not what it says about itself; export it again")
    return description
