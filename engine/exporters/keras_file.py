"""A `.keras` file as a network, with nothing in it executed."""

import hashlib
import importlib.metadata
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cache.failures import Failure, UsageFailure, first_line
from engine.exporters.endings import say_keras_ending
from engine.exporters.keras import Network, import_keras, network_of

# Releases before it, and those of one later line, execute what is in a file in their safe mode:
# tried one by one, and declared so in pyproject.toml (docs/decisions/002-floors.md).
_LEAST_KERAS = (3, 12, 1)
_UNSAFE_KERAS = (3, 13)

# Bytes of the description of a network: NASNetLarge's has 1.3 million; one of nothing but empty
# objects takes 50 times its bytes of memory.
_MAX_CONFIG = 8 * 2**20

# Bytes of all that a file unpacks to: ConvNeXtXLarge has 1.4 billion.
_MAX_UNPACKED = 8 * 2**30

# Whence a file may take what its description names. Everything else (`keras.models.load_model`,
# `keras.utils.get_file`, other packages) is code that a network does not need.
_MODULES = frozenset(
    {
        *("keras", "keras.layers", "keras.models", "keras.initializers", "keras.regularizers"),
        *("keras.constraints", "keras.activations", "keras.dtype_policies", "builtins"),
        *("keras.src.models.functional", "keras.src.models.sequential", "keras.src.models.model"),
        *("keras.src.ops.numpy", "keras.src.ops.nn", "keras.src.ops.image", "keras.src.ops.math"),
        *("keras.src.ops.core", "keras.src.ops.operation"),
    }
)
_FUNCTION_MODULES = frozenset({"keras.activations", "keras.src.activations", "builtins"})
_CODE = frozenset({"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"})


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
    config = _checked_config(path)
    keras = import_keras()
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a damaged or hostile configuration makes Keras stumble on
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
            raise UsageFailure(f"{path} has no layer {layer!r}; its last ones: {last}")
    elif len(model.outputs) > 1:
        names = [entry._keras_history.operation.name for entry in model.outputs]
        raise UsageFailure(
            f"{path} has {len(model.outputs)} outputs; choose one as layer: {' or '.join(names)}"
        )
    else:
        cut = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
        say_keras_ending(path, cut)
    structure = hashlib.sha256(config).hexdigest()
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


def _checked_config(path: Path) -> bytes:
    """Return the description of the network in a file; Failure if it is none or names code."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            if sizes.get("config.json", 0) > _MAX_CONFIG or sum(sizes.values()) > _MAX_UNPACKED:
                raise ValueError(f"it unpacks to {sum(sizes.values())} bytes")
            config = archive.read("config.json")
        entries = list(_objects(json.loads(config)))
    except FileNotFoundError:
        raise Failure(f"there is no backbone file {path}") from None
    except Exception as error:  # zipfile and its decoders raise many kinds
        raise Failure(
            f"{path} is not a Keras model that can be loaded safely: {first_line(error)}"
        ) from error
    for entry in entries:
        _refuse_code(path, entry)
    return config


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of a description that stand for something of Keras', inner ones too."""
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            if isinstance(value.get("class_name"), str) and "config" in value:
                yield value
            todo += value.values()
        elif isinstance(value, list):
            todo += value


def _refuse_code(path: Path, entry: dict[str, Any]) -> None:
    """Raise Failure for a part of a network that is code, or that Keras does not bring."""
    kind, module, config = entry["class_name"], entry.get("module"), entry["config"]
    name = config.get("name", "") if isinstance(config, dict) else config
    if kind in _CODE:
        raise Failure(
            f"{path} has a layer {name!r} of type {kind}, which runs code from the file; "
            "build the network from Keras' own layers, or convert it to .onnx"
        )
    if kind.startswith("__"):
        return  # a value: a tensor, a number
    allowed = _FUNCTION_MODULES if kind == "function" else _MODULES
    is_known = isinstance(module, str) and module in allowed
    if not is_known and not (module is None and entry.get("registered_name") is None):
        own = entry.get("registered_name") or f"{module}.{kind}"
        raise Failure(
            f"{path} has a part {name!r} of type {own}, which is not Keras' own; "
            "build the network from Keras' own layers, or convert it to .onnx"
        )
    if kind == "DTypePolicy" and "float16" in str(config):
        raise Failure(
            f"{path} computes in {name}; save it in float32: load it, give each layer the "
            "dtype float32 by keras.models.clone_model, and set the weights"
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
