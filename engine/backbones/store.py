"""Where exported backbones are kept, so that each is exported once."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from cache.failures import Failure
from cache.files import home_path
from engine.backbones.model import ModelFile, read_description, write_description
from engine.backbones.request import BackboneRequest
from engine.graphs.model_file import digest_of_all
from engine.process.child import run_in_child

_log = logging.getLogger(__name__)

# Part of a model's name in the store: raise it when the exporter changes what it writes.
_EXPORTER = 6

# Folders of exports under way begin so. None takes a day, downloads included.
_NEW = ".new-"
_STALE_SECONDS = 86_400


def store_folder() -> Path:
    """Return the folder of exported models: ONCEOVER_MODELS, or the user's cache directory."""
    asked = os.environ.get("ONCEOVER_MODELS")
    return home_path(asked) if asked else platformdirs.user_cache_path("onceover") / "models"


def exported_model(request: BackboneRequest) -> ModelFile:
    """Return the model of `request`, exporting it first where that was never done.

    The export runs in a process of its own, which takes TensorFlow's memory with it when it ends.
    Two processes may export the same model at once; one of the results is kept.

    Raises:
        Failure: the export failed; the message is its own.
    """
    store = store_folder()
    folder = store / _key(request)
    if not folder.is_dir():
        first = "Keras downloads its weights, then " if request.weights == "imagenet" else ""
        name = Path(request.backbone).name
        _log.info("%s%s is exported to ONNX, once, to %s", first, name, folder)
        with _scratch(store) as scratch:
            made = scratch / "made"
            made.mkdir()
            export_in_child(request, made)
            # The folder appears with all that is in it, or not at all.
            try:
                made.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
                # Another process was first.
    model = read_description(folder / "model.json", folder / "model.onnx")
    for level, text in model.remarks:
        _log.log(level, "%s", text)
    return model


def export_in_child(request: BackboneRequest, folder: Path) -> ModelFile:
    """Export a backbone to `model.onnx`, with `model.json`, in a folder; Failure if that fails."""
    path = folder / "model.onnx"
    arguments = [*request.options(), "--out", str(path)]
    record = run_in_child("engine.exporters", arguments, "the export")
    write_description(folder / "model.json", json.loads(record))
    return read_description(folder / "model.json", path)


@contextlib.contextmanager
def _scratch(store: Path) -> Iterator[Path]:
    """Give a folder in the store for an export under way; Failure if none can be made."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        _remove_stale(store)
        scratch = tempfile.TemporaryDirectory(prefix=_NEW, dir=store)
    except OSError as error:
        raise Failure(
            f"exported models cannot be kept in {store} ({error.strerror or error}); "
            "name another folder in the environment variable ONCEOVER_MODELS"
        ) from error
    with scratch as name:
        yield Path(name)


def _remove_stale(store: Path) -> None:
    """Remove what exports left that were killed more than a day ago."""
    for scratch in store.glob(f"{_NEW}*"):
        with contextlib.suppress(OSError):
            if time.time() - scratch.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(scratch)


def _key(request: BackboneRequest) -> str:
    """Return the name of a request's folder: files count by their bytes."""
    record = [
        _EXPORTER,
        _content(request.backbone) if request.is_file else request.backbone,
        request.weights if request.is_file else _content(request.weights),
        request.layer,
        request.preprocessing,
        request.geometry.pool,
        request.geometry.size,
    ]
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()[:16]


def _content(name: str) -> str:
    if name == "imagenet" or name.startswith("random:"):
        return name
    return digest_of_all(Path(name).resolve())
