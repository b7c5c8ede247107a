"""A `.keras` file as a network, with nothing in it executed."""

import difflib
import hashlib
import importlib.metadata
import re
from pathlib import Path
from typing import Any

from cache.failures import Failure, UsageFailure, first_line
from engine.exporters.endings import say_keras_ending
from engine.exporters.keras import Network, import_keras, network_of
from engine.exporters.keras_config import read_keras_config

# Releases before it, and those of one later line, execute what is in a file in their safe mode:
# tried one by one, and declared so in pyproject.toml (docs/decisions/002-floors.md).
_LEAST_KERAS = (3, 12, 1)
_UNSAFE_KERAS = (3, 13)


def load_keras_file(path: Path, layer: str | None, size: tuple[int, int] | None = None) -> Network:
    """Return the network of a `.keras` file, cut at `layer` or at its output, with its weights.

    layer: of the network or of one inside it. size: (height, width) of the images, for a network
    that leaves it open.

    Raises:
        Failure: not a Keras file, one with code in it, one that takes no RGB images, or Keras is a
            release that executes what is in such files.
        UsageFailure: it has no such layer, leaves a size open that was not given, or has another.
    """
    _refuse_old_keras()
    described = read_keras_config(path)
    keras = import_keras()
    try:
        with described.without_training(path) as plain:
            model = keras.models.load_model(plain, compile=False, safe_mode=True)
    except Exception as error:  # whatever a damaged or hostile configuration makes Keras stumble on
        if own := [name for name in described.functions if not hasattr(keras.activations, name)]:
            raise Failure(
                f"{path} has a part {own[0]!r}, a function that is not Keras' own; build the "
                "network from Keras' own layers, or convert it to .onnx"
            ) from error
        raise Failure(
            f"{path} is not a Keras model that can be loaded safely: {first_line(error)}"
        ) from error
    if not model.built or not getattr(model, "inputs", None):
        raise Failure(
            f"{path} does not say what it takes; build it before it is saved: "
            "model.build((None, height, width, 3))"
        )
    shape = model.inputs[0].shape
    if len(model.inputs) != 1 or len(shape) != 4 or shape[-1] != 3:
        shapes = ", ".join(str(tuple(entry.shape)) for entry in model.inputs)
        raise Failure(
            f"{path} takes inputs of shape {shapes}; a backbone takes RGB images alone, "
            "(None, height, width, 3): build a model of one such input and save that"
        )
    size = _fixed_size(path, tuple(shape[1:3]), size)
    if layer is not None:
        cut = _cut_at(model, layer)
        if cut is None:
            last = [entry.name for entry in model.layers][-8:]
            meant = difflib.get_close_matches(layer, _names(model), 2)
            near = f", ones of a like name: {meant}" if meant else ""
            raise UsageFailure(f"{path} has no layer {layer!r}; its last ones: {last}{near}")
    elif len(model.outputs) > 1:
        names = [entry._keras_history.operation.name for entry in model.outputs]
        raise UsageFailure(
            f"{path} has {len(model.outputs)} outputs; choose one as layer: {' or '.join(names)}"
        )
    else:
        cut = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
        say_keras_ending(path, cut)
    structure = hashlib.sha256(described.text).hexdigest()
    name = layer or model.layers[-1].name
    return network_of(cut, structure, name, with_weights=True, size=size)


def _fixed_size(
    path: Path, own: tuple[int | None, int | None], size: tuple[int, int] | None
) -> tuple[int, int]:
    """Return the (height, width) of a network's images, its own where it says one."""
    if size is None and None in own:
        raise UsageFailure(f"{path} does not say the size of its images; give one, as size 224")
    if size is not None and any(a not in (None, b) for a, b in zip(own, size, strict=True)):
        sides = " x ".join("any" if side is None else str(side) for side in own)
        raise UsageFailure(f"{path} takes images of {sides} pixels alone; leave the size out")
    height, width = size or own
    assert height is not None
    assert width is not None
    return height, width


def _refuse_old_keras() -> None:
    version = importlib.metadata.version("keras")
    numbers = tuple(map(int, re.findall(r"\d+", version)[:3]))
    if numbers < _LEAST_KERAS or numbers[:2] == _UNSAFE_KERAS:
        least, unsafe = (".".join(map(str, line)) for line in (_LEAST_KERAS, _UNSAFE_KERAS))
        raise Failure(
            f"Keras {version} may execute what is in a .keras file; install another: "
            f"pip install 'keras>={least},!={unsafe}.*'"
        )


def _cut_at(model: Any, layer: str) -> Any:
    """Return a model that ends at a layer, perhaps one of a model inside it; None without it."""
    keras = import_keras()
    nodes = _nodes(model)
    for node in nodes:
        if node.operation.name == layer:
            return keras.Model(model.inputs[0], node.outputs[0], name=model.name)
    for node in nodes:
        if isinstance(node.operation, keras.Model) and len(node.input_tensors) == 1:
            part = _cut_at(node.operation, layer)
            if part is not None:
                output = part(node.input_tensors[0])
                return keras.Model(model.inputs[0], output, name=model.name)
    return None


def _names(model: Any) -> list[str]:
    """Return the names of a model's layers, and of those of models inside it."""
    names = []
    for layer in model.layers:
        names += [layer.name, *(_names(layer) if hasattr(layer, "layers") else ())]
    return names


def _nodes(model: Any) -> list[Any]:
    """Return the calls of layers that a model's outputs hang on, the last ones first."""
    nodes: dict[int, Any] = {}
    todo = list(model.outputs)
    while todo:
        history = todo.pop()._keras_history
        node = history.operation._inbound_nodes[history.node_index]
        if id(node) not in nodes:
            nodes[id(node)] = node
            todo += node.input_tensors
    return list(nodes.values())
