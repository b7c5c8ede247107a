"""Backbone and head -> one self-contained ONNX classifier, pixels in, probabilities out."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper

from cache.failures import UsageFailure
from cache.files import file_sha256, publish, temporary
from engine.backbones.backbone import check_model
from engine.backbones.model import METADATA_KEY, ModelFile
from engine.classifiers.change import Change
from engine.heads.head import Head
from engine.images.framing import Framing

# Key of the class names, a JSON list, in the metadata of a classifier.
CLASSES_KEY = "classes"

# Names that the head's own tensors need; a network that uses one of them has it renamed.
_WEIGHTS, _BIASES, _LOGITS, _OUTPUT = "head_weights", "head_biases", "logits", "probabilities"


def export_classifier(
    head: Head, model: ModelFile, path: Path, change: Change | None = None
) -> dict[str, Any]:
    """Write a classifier; return what it says of itself, with `sha256` and `bytes` of the file.

    The file takes `images`, uint8 (N, H, W, 3) RGB, and gives `probabilities`, float32
    (N, classes). Its metadata has the class names as a JSON list under CLASSES_KEY, and under
    METADATA_KEY the backbone's description with the head's classes, feature space and resize.
    It appears whole or not at all.

    model: the backbone that the head was trained on, or that at another precision. change: what
    the other one changes in the head's answers, which goes into the metadata.

    Raises:
        Failure: the backbone's file may not be used, see `check_model`.
        UsageFailure: there is no folder to write in.
        OSError: it could not be written.
    """
    if not path.parent.is_dir():
        raise UsageFailure(f"there is no folder {path.parent} to write {path.name} in")
    check_model(model)
    network = onnx.load(model.path)
    _attach(network, head)
    record = {
        **asdict(model.description),
        "classes": list(head.classes),
        "space": head.space,
        **Framing.of(head.description).identity,
        "decode": head.description["decode"],
        "head_precision": head.description["precision"],
        "change": None if change is None else change.payload(),
        "onceover": version("onceover"),
    }
    metadata = {METADATA_KEY: json.dumps(record), CLASSES_KEY: json.dumps(list(head.classes))}
    helper.set_model_props(network, metadata)
    network.producer_name, network.producer_version = "onceover", version("onceover")
    with temporary(path.parent) as unfinished:
        onnx.save(network, unfinished)
        del network
        onnx.checker.check_model(unfinished)
        publish(unfinished, path)
    return {**record, "sha256": file_sha256(path), "bytes": path.stat().st_size}


def _attach(network: onnx.ModelProto, head: Head) -> None:
    """Put the softmax layer behind the output `features`, in place of it."""
    graph = network.graph
    taken = {name: f"backbone_{name}" for name in (_WEIGHTS, _BIASES, _LOGITS, _OUTPUT)}
    _rename(graph, taken)
    weights, biases = head.weights.astype("<f4"), head.biases.astype("<f4")
    graph.initializer.append(numpy_helper.from_array(weights, _WEIGHTS))
    graph.initializer.append(numpy_helper.from_array(biases, _BIASES))
    graph.node.append(
        helper.make_node("Gemm", ["features", _WEIGHTS, _BIASES], [_LOGITS], name="head")
    )
    graph.node.append(helper.make_node("Softmax", [_LOGITS], [_OUTPUT], name="softmax", axis=1))
    del graph.output[:]
    shape: list[str | int | None] = ["N", len(head.classes)]
    graph.output.append(helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, shape))


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for node in graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [names.get(tensor, tensor) for tensor in tensors]
    for entry in (*graph.initializer, *graph.value_info):
        entry.name = names.get(entry.name, entry.name)
