"""A backbone request -> one ONNX file that says what it is."""

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

from cache.failures import Failure, UsageFailure, first_line
from engine.backbones.architectures import ARCHITECTURES
from engine.backbones.model import METADATA_KEY, ModelDescription, ModelFile
from engine.backbones.preprocessing import preprocessing_named
from engine.backbones.request import BackboneRequest
from engine.exporters.graph import Graph, graph_of, write_model
from engine.exporters.lrn import write_out_local_response
from engine.exporters.weights import load_weights, random_weights, weights_digest
from engine.graphs.files import join_files, metadata_of, read_onnx, write_onnx
from engine.graphs.model_file import data_file, digests
from engine.process.progress import Progress, no_progress


def export_backbone(
    request: BackboneRequest,
    path: Path,
    progress: Progress = no_progress,
    *,
    for_store: bool = False,
) -> ModelFile:
    """Export a backbone to the file `path`.

    progress: of a download, in megabytes.
    for_store: whether its larger constants go to a data file beside it, where they are mapped.

    Raises:
        Failure: the weights cannot be had, or the file is not a network that takes RGB images.
        UsageFailure: the request lacks something or does not fit the file.
    """
    if not path.parent.is_dir():
        raise UsageFailure(f"there is no folder {path.parent} to write {path.name} in")
    with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        if request.backbone.lower().endswith(".onnx"):
            description = _export_onnx(request, Path(request.backbone), unfinished)
        else:
            description = _export_keras(request, unfinished, progress)
        if not for_store:
            join_files(unfinished)
        model = ModelFile(path, digests(unfinished), description)
        if model.digests.data is not None:
            data_file(unfinished).replace(data_file(path))
        unfinished.replace(path)
    return model


def _export_keras(request: BackboneRequest, path: Path, progress: Progress) -> ModelDescription:
    from engine.exporters import keras as keras_models

    _preprocessing_of(request)  # before what takes long
    if request.is_file:
        network = keras_models.load_keras_file(Path(request.backbone), request.layer)
    else:
        assert request.layer is not None
        network = keras_models.build_architecture(
            ARCHITECTURES[request.backbone],
            request.layer,
            download=request.weights == "imagenet",
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
        return _adopt(request, source, model, record, path)
    graph = graph_of(model, {}, request.layer)
    identity = {"backbone": "onnx", "weights": digests(source).model}
    parameters = sum(math.prod(tensor.dims) for tensor in graph.model.graph.initializer)
    write_out_local_response(graph.model)
    description = _write(graph, identity, graph.output, parameters, request, path, {})
    _check_batches(source, path, description)
    return description


def _check_batches(source: Path, path: Path, description: ModelDescription) -> None:
    """Refuse a network whose features of an image hang on how many others are with it."""
    session = onnxruntime.InferenceSession(path, _quiet(), providers=["CPUExecutionProvider"])
    shape = (3, description.height, description.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    try:
        (together,) = session.run(["features"], {"images": pixels})
        alone = [session.run(["features"], {"images": pixels[i : i + 1]})[0] for i in range(3)]
    except Exception as error:  # each of ONNX Runtime's errors is an Exception of its own
        raise Failure(
            f"{source} does not take any number of images at once "
            f"({first_line(error)}); export it with a free batch dimension"
        ) from error
    if together.shape != (3, description.features) or not np.allclose(
        together, np.concatenate(alone), rtol=1e-3, atol=1e-3 * float(np.abs(together).max())
    ):
        raise Failure(
            f"{source} gives an image other features beside other images than alone; "
            "export it for inference, with a free batch dimension"
        )


def _quiet() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return options


def _adopt(
    request: BackboneRequest, source: Path, model: onnx.ModelProto, record: str, path: Path
) -> ModelDescription:
    """Take a file that this exporter made as it is."""
    try:
        known = json.loads(record)
        whole = "classes" in known
        description = None if whole else ModelDescription(**known)
        graph = None if whole else graph_of(model, {}, "features", TensorProto.UINT8)
        given = None if description is None else description.quantization
        quantization = None if given is None else dict(given)
        if description is not None and (description.precision == "int8") != bool(quantization):
            raise ValueError("int8 goes with a quantization")
    except (ValueError, TypeError, Failure) as error:
        raise Failure(f"{source} does not say what it is, though it says who made it") from error
    if description is None or graph is None:
        raise UsageFailure(f"{source} is a whole classifier, not a backbone")
    size = (description.height, description.width)
    if (graph.image, graph.size, graph.features) != ("images", size, description.features):
        raise Failure(f"{source} is not what it says about itself; export it again")
    for option, asked, own in (
        ("--layer", request.layer, description.layer),
        ("--preprocessing", request.preprocessing, description.preprocessing),
    ):
        if asked not in (None, own):
            raise UsageFailure(f"{option} {asked}: {source} was exported with {own}")
    if quantization is not None:
        # A file cannot hold its own digest, by which two calibrations are told apart.
        description = replace(
            description, quantization={**quantization, **digests(source).record("model", "data")}
        )
    write_onnx(model, path)
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
    preprocessing = _preprocessing_of(request)
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
            "give --preprocessing caffe, tf, torch or none"
        )
    return request.preprocessing


def _versions(*packages: str) -> dict[str, str]:
    return {package: version(package) for package in packages}
