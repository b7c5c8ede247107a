"""Where exported backbones are kept, so that each is exported once."""

import argparse
import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from cache.failures import UsageFailure
from engine.backbones.architectures import ARCHITECTURES
from engine.backbones.backbone import ModelFile, read_description
from engine.backbones.preprocessing import preprocessing_named
from engine.process.child import run_in_child
from engine.process.digests import file_sha256

_log = logging.getLogger(__name__)

# Part of a model's name in the store: raise it when the exporter changes what it writes.
_EXPORTER = 3

# Folders of exports under way begin so. None takes a day, downloads included.
_NEW = ".new-"
_STALE_SECONDS = 86_400


@dataclass(frozen=True)
class BackboneRequest:
    """A backbone as a user asks for it: the options of that name, checked and completed.

    backbone: name of an architecture, or path of a `.keras` or `.onnx` file.
    weights: `imagenet`, `random:SEED` or path of a file; `own` where the backbone is a file.
    layer: None for a file's own output.
    """

    backbone: str
    weights: str
    layer: str | None
    preprocessing: str | None

    @property
    def is_file(self) -> bool:
        """Whether the backbone is a file of the user's."""
        return self.backbone not in ARCHITECTURES

    @property
    def seed(self) -> int | None:
        """The seed of random weights; None for other weights."""
        kind, _, seed = self.weights.partition(":")
        return int(seed) if kind == "random" and seed.isdecimal() else None

    def options(self) -> list[str]:
        """Return the request as options of the commands that take a backbone."""
        options = ["--backbone", self.backbone]
        options += [] if self.is_file else ["--weights", self.weights]
        options += ["--layer", self.layer] if self.layer else []
        options += ["--preprocessing", self.preprocessing] if self.preprocessing else []
        return options


def request_from(arguments: argparse.Namespace) -> BackboneRequest:
    """Return the request that the backbone options make. UsageFailure if they do not fit."""
    return backbone_request(
        arguments.backbone or "vgg16",
        arguments.weights or "imagenet",
        arguments.layer,
        arguments.preprocessing,
    )


def backbone_request(
    backbone: str, weights: str, layer: str | None, preprocessing: str | None
) -> BackboneRequest:
    """Check and complete a request. UsageFailure if its parts do not fit together."""
    if preprocessing is not None:
        preprocessing_named(preprocessing)
    if backbone in ARCHITECTURES:
        architecture = ARCHITECTURES[backbone]
        layer, _ = architecture.cut(layer)
        if weights.startswith("random:") and not weights[len("random:") :].isdecimal():
            raise UsageFailure(f"--weights {weights}: the seed is a number, as in random:0")
        if weights != "imagenet" and not weights.startswith("random:"):
            weights = _existing(weights, "--weights", "imagenet, random:SEED or a file")
        return BackboneRequest(
            backbone, weights, layer, preprocessing or architecture.preprocessing
        )
    known = f"{', '.join(ARCHITECTURES)}, or a .keras or .onnx file"
    if not backbone.lower().endswith((".keras", ".onnx")):
        raise UsageFailure(f"--backbone {backbone}: choose from {known}")
    if weights not in ("imagenet", "own"):  # imagenet is the default, which nobody gave
        raise UsageFailure(f"--weights {weights}: {backbone} brings its own; leave --weights out")
    return BackboneRequest(_existing(backbone, "--backbone", known), "own", layer, preprocessing)


def _existing(name: str, option: str, known: str) -> str:
    if not Path(name).is_file():
        raise UsageFailure(f"{option} {name}: there is no such file; choose from {known}")
    return str(Path(name).resolve())


def store_folder() -> Path:
    """Return the folder of exported models: ONCEOVER_MODELS, or the user's cache directory."""
    return Path(
        os.environ.get("ONCEOVER_MODELS") or platformdirs.user_cache_path("onceover") / "models"
    )


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
        store.mkdir(parents=True, exist_ok=True)
        _remove_stale(store)
        with tempfile.TemporaryDirectory(prefix=_NEW, dir=store) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            arguments = [*request.options(), "--out", str(made / "model.onnx")]
            record = run_in_child("engine.exporters", arguments, "the export")
            (made / "model.json").write_bytes(record)
            # The folder appears with all that is in it, or not at all.
            try:
                made.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
                # Another process was first.
    return read_description(folder / "model.json", folder / "model.onnx")


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
    ]
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()[:16]


def _content(name: str) -> str:
    if name == "imagenet" or name.startswith("random:"):
        return name
    return file_sha256(Path(name))
