"""What a `.keras` file says of its network, read as data: nothing in it is executed."""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.failures import Failure, first_line

_CONFIG, _METADATA = "config.json", "metadata.json"

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


@dataclass(frozen=True)
class KerasConfig:
    """The description of a network in a file.

    text: as it is there. plain: without what trained the networks inside it; None if nothing did.
    functions: those that it names; activations mostly, and which are Keras' own Keras knows.
    """

    text: bytes
    plain: bytes | None
    functions: tuple[str, ...]

    @contextmanager
    def without_training(self, path: Path) -> Iterator[Path]:
        """Give the file `path`, or a copy of it that says nothing of training.

        Keras skips what trained the network itself, but for one inside it wants an optimizer with
        all that it had learnt, which it does not save.
        """
        if self.plain is None:
            yield path
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / path.name
            with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as target:
                for name in source.namelist():
                    with source.open(name) as read, target.open(name, "w", force_zip64=True) as out:
                        if name == _CONFIG:
                            out.write(self.plain)
                        else:
                            shutil.copyfileobj(read, out)
            yield copy


def read_keras_config(path: Path) -> KerasConfig:
    """Return the description of the network in a file.

    Raises:
        Failure: it is none, is of Keras 2, or names code.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            read = max(sizes.get(name, 0) for name in (_CONFIG, _METADATA))
            if read > _MAX_CONFIG or sum(sizes.values()) > _MAX_UNPACKED:
                raise ValueError(f"it unpacks to {sum(sizes.values())} bytes")
            text = archive.read(_CONFIG)
            about = json.loads(archive.read(_METADATA)) if _METADATA in sizes else {}
        is_of_keras_2 = str(about.get("keras_version")).startswith("2.")
        described = json.loads(text)
        described.pop("compile_config", None)  # as Keras does where it is not to compile
        trained = _drop_training(described)
    except FileNotFoundError:
        raise Failure(f"there is no backbone file {path}") from None
    except Exception as error:  # zipfile and its decoders raise many kinds
        raise Failure(
            f"{path} is not a Keras model that can be loaded safely: {first_line(error)}"
        ) from error
    if is_of_keras_2:
        raise Failure(
            f"{path} was saved by Keras 2, which Keras 3 does not read; save it there as a folder, "
            f"model.save({path.stem!r}), and make an ONNX file of that: python -m tf2onnx.convert "
            f"--saved-model {path.stem} --output {path.stem}.onnx --opset 17"
        )
    functions = []
    for entry in _dictionaries(described):
        if isinstance(entry.get("class_name"), str) and "config" in entry:
            _refuse_code(path, entry)
            functions += [str(entry["config"])] if entry["class_name"] == "function" else []
    plain = json.dumps(described).encode("utf-8") if trained else None
    return KerasConfig(text, plain, tuple(functions))


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of JSON, inner ones too."""
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            yield value
            todo += value.values()
        elif isinstance(value, list):
            todo += value


def _drop_training(described: Any) -> bool:
    """Take out how networks inside a network were trained; tell whether any was."""
    trained = [entry for entry in _dictionaries(described) if "compile_config" in entry]
    for entry in trained:
        del entry["compile_config"]
    return bool(trained)


def _refuse_code(path: Path, entry: dict[str, Any]) -> None:
    """Raise Failure for a part of a network that is code, or that Keras does not bring."""
    kind, module, config = entry["class_name"], entry.get("module"), entry["config"]
    name = config.get("name", "") if isinstance(config, dict) else config
    part = f"a part {name!r}" if name else "a part"
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
        whose = "no layer of Keras" if str(module).startswith("keras.") else "not Keras' own"
        raise Failure(
            f"{path} has {part} of type {own}, which is {whose}; "
            "build the network from Keras' own layers, or convert it to .onnx"
        )
    if kind == "DTypePolicy" and "float" in str(name) and name != "float32":
        raise Failure(
            f"{path} computes in {name}; save it in float32: load it, give each layer the "
            "dtype float32 by keras.models.clone_model, and set the weights"
        )
