"""A backbone request -> one ONNX file that says what it is."""

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from cache.failures import UsageFailure
from engine.backbones.architectures import ARCHITECTURES
from engine.backbones.model import METADATA_KEY, ModelDescription, ModelFile
from engine.backbones.preprocessing import preprocessing_named
from engine.backbones.request import BackboneRequest
from engine.exporters.adopt import adopt, is_own
from engine.exporters.endings import say_flattened, say_onnx_ending
from engine.exporters.foreign import made_ready
from engine.exporters.graph import write_model
from engine.exporters.lrn import write_out_local_response
from engine.exporters.network import Graph, graph_of, pooled
from engine.exporters.trial import try_out
from engine.exporters.weights import (
    load_weights,
    random_weights,
    weights_digest,
    with_true_variances,
)
from engine.graphs.files import read_onnx
from engine.graphs.model_file import data_file, digest_of_all, digests
from engine.process.progress import Progress, no_progress


def export_backbone(
    request: BackboneRequest, path: Path, progress: Progress = no_progress
) -> ModelFile:
    """Export a backbone to the file `path`, its larger constants to the data file beside it.

    progress: of a download, in megabytes.

    Raises:
        Failure: the weights cannot be had, or the file is not a network that takes RGB images.
        UsageFailure: the request lacks something or does not fit the file.
    """
    if not path.parent.is_dir():
        raise UsageFailure(f"there is no folder {path.parent} to write {path.name} in")
    with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        if request.backbone.lower().endswith(".onnx"):
            description = _export_onnx(request, unfinished)
        else:
            description = _export_keras(request, unfinished, progress)
        try_out(request.backbone, unfinished, description, foreign=request.is_file)
        model = ModelFile(path, digests(unfinished), description)
        if model.digests.data is not None:
            data_file(unfinished).replace(data_file(path))
        unfinished.replace(path)
    return model


def _export_keras(request: BackboneRequest, path: Path, progress: Progress) -> ModelDescription:
    from engine.exporters import keras as keras_models
    from engine.exporters.keras_file import load_keras_file

    _preprocessing_of(request)  # before what takes long
    if request.is_file:
        network = load_keras_file(Path(request.backbone), request.layer, request.geometry.size)
    else:
        assert request.layer is not None
        network = keras_models.build_architecture(
            ARCHITECTURES[request.backbone],
            request.layer,
            download=request.weights == "imagenet",
            size=request.geometry.size,
            progress=progress,
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
    if network.weights is None:  # counted above as they are: the same weights are the same space
        weights = with_true_variances(network.layers, weights)
    parameters = sum(math.prod(shape) for entry in network.layers for shape in entry.shapes)
    layer = request.layer or network.output_layer
    graph = keras_models.trace(network, weights)
    graph = pooled(graph, request.geometry.pool, channels_last=True)
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


def _export_onnx(request: BackboneRequest, path: Path) -> ModelDescription:
    source = Path(request.backbone)
    model = read_onnx(source)
    if is_own(model):
        return adopt(request, model, path)
    # Counted as they are in the file: the number is part of the space.
    parameters = sum(math.prod(tensor.dims) for tensor in model.graph.initializer)
    made_ready(model, request)
    graph = graph_of(model, {}, request.layer)
    if request.layer is None:
        say_onnx_ending(source, graph)
    graph = pooled(graph, request.geometry.pool, channels_last=not graph.channels_first)
    identity = {"backbone": "onnx", "weights": digest_of_all(source)}
    write_out_local_response(graph.model)
    return _write(graph, identity, graph.output, parameters, request, path, {})


def _write(
    graph: Graph,
    identity: Mapping[str, str],
    layer: str,
    parameters: int,
    request: BackboneRequest,
    path: Path,
    versions: Mapping[str, str],
) -> ModelDescription:
    preprocessing = _preprocessing_of(request)
    say_flattened(Path(request.backbone).name, graph)
    description = ModelDescription(
        backbone=identity["backbone"],
        weights=identity["weights"],
        layer=layer,
        preprocessing=preprocessing,
        height=graph.size[0],
        width=graph.size[1],
        features=graph.features,
        precision="fp32",
        parameters=parameters,
        pool=graph.pool,
        provenance={
            "source": Path(request.backbone).name,
            "weights": Path(request.weights).name,
            **versions,
            **_versions("onnx", "onnxruntime"),
        },
    )
    metadata = {METADATA_KEY: json.dumps(asdict(description))}
    write_model(graph, preprocessing_named(preprocessing), metadata, path)
    return description


def _preprocessing_of(request: BackboneRequest) -> str:
    if request.preprocessing is None:
        raise UsageFailure(
            f"{request.backbone} does not say which preprocessing it wants; "
            "give a preprocessing: caffe, tf, torch, none, unit, clip or its numbers"
        )
    return request.preprocessing


def _versions(*packages: str) -> dict[str, str]:
    return {package: version(package) for package in packages}
