"""A backbone request -> one ONNX file that says what it is."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from cache.failures import Failure, UsageFailure
from engine.architectures import ARCHITECTURES
from engine.backbone import METADATA_KEY, ModelDescription, ModelFile
from engine.digests import file_sha256
from engine.model_store import BackboneRequest
from engine.onnx_files import metadata_of, read_onnx
from engine.onnx_graph import Graph, graph_of, write_model
from engine.preprocessing import preprocessing_named
from engine.weights import load_weights, random_weights, weights_digest


def export_backbone(request: BackboneRequest, path: Path) -> ModelFile:
    """Export a backbone to the file `path`.

    Raises:
        Failure: the weights cannot be had, or the file is not a network that takes RGB images.
        UsageFailure: the request lacks something or does not fit the file.
    """
    if not path.parent.is_dir():
        raise UsageFailure(f"there is no folder {path.parent} to write {path.name} in")
    if request.backbone.lower().endswith(".onnx"):
        description = _export_onnx(request, Path(request.backbone), path)
    else:
        description = _export_keras(request, path)
    return ModelFile(path, file_sha256(path), description)


def _export_keras(request: BackboneRequest, path: Path) -> ModelDescription:
    from engine import keras_models

    if request.is_file:
        network = keras_models.load_keras_file(Path(request.backbone), request.layer)
    else:
        assert request.layer is not None
        network = keras_models.build_architecture(
            ARCHITECTURES[request.backbone],
            request.layer,
            download=request.weights == "imagenet",
        )
    if network.weights is not None:
        weights = network.weights
    elif request.seed is not None:
        weights = random_weights(network.layers, request.seed)
    else:
        weights = load_weights(Path(request.weights), network.layers)
    identity = {
        "backbone": network.model.name if request.is_file else request.backbone,
        "weights": weights_digest(network.layers, weights, network.structure),
    }
    parameters = sum(math.prod(shape) for entry in network.layers for shape in entry.shapes)
    layer = request.layer or network.output_layer
    graph = keras_models.trace(network, weights)
    del network, weights
    return _write(
        graph,
        identity,
        layer,
        parameters,
        request,
        path,
        _versions("keras", "tensorflow", "tf2onnx"),
    )


def _export_onnx(request: BackboneRequest, source: Path, path: Path) -> ModelDescription:
    model = read_onnx(source)
    record = metadata_of(model).get(METADATA_KEY)
    if record:
        return _adopt(request, source, record, path)
    graph = graph_of(model, {}, request.layer)
    identity = {"backbone": "onnx", "weights": file_sha256(source)}
    parameters = sum(math.prod(tensor.dims) for tensor in graph.model.graph.initializer)
    return _write(graph, identity, graph.output, parameters, request, path, {})


def _adopt(request: BackboneRequest, source: Path, record: str, path: Path) -> ModelDescription:
    """Take a file that this exporter made as it is."""
    try:
        known = json.loads(record)
        if "classes" in known:
            raise UsageFailure(f"{source} is a whole classifier, not a backbone")
        description = ModelDescription(**known)
    except (ValueError, TypeError) as error:
        raise Failure(f"{source} says something unreadable about itself") from error
    for option, asked, own in (
        ("--layer", request.layer, description.layer),
        ("--preprocessing", request.preprocessing, description.preprocessing),
    ):
        if asked not in (None, own):
            raise UsageFailure(f"{option} {asked}: {source} was exported with {own}")
    shutil.copyfile(source, path)
    return description


def _write(
    graph: Graph,
    identity: Mapping[str, str],
    layer: str,
    parameters: int,
    request: BackboneRequest,
    path: Path,
    versions: Mapping[str, str],
) -> ModelDescription:
    if request.preprocessing is None:
        raise UsageFailure(
            f"{request.backbone} does not say which preprocessing it wants; "
            "give --preprocessing caffe, tf, torch or none"
        )
    description = ModelDescription(
        backbone=identity["backbone"],
        weights=identity["weights"],
        layer=layer,
        preprocessing=request.preprocessing,
        height=graph.size[0],
        width=graph.size[1],
        features=graph.features,
        precision="fp32",
        parameters=parameters,
        provenance={
            "source": Path(request.backbone).name,
            "weights": Path(request.weights).name,
            **versions,
            **_versions("onnx", "onnxruntime"),
        },
    )
    metadata = {METADATA_KEY: json.dumps(asdict(description))}
    write_model(graph, preprocessing_named(request.preprocessing), metadata, path)
    return description


def _versions(*packages: str) -> dict[str, str]:
    return {package: version(package) for package in packages}
