"""A backbone request -> one ONNX file that can be sent to somebody."""

import logging
import tempfile
from dataclasses import replace
from pathlib import Path

from cache.failures import UsageFailure
from engine.backbones.model import ModelFile
from engine.backbones.request import BackboneRequest
from engine.backbones.store import export_in_child
from engine.graphs.files import load_onnx, write_one_file
from engine.graphs.model_file import digests

_log = logging.getLogger(__name__)


def export_one_file(request: BackboneRequest, path: Path) -> ModelFile:
    """Export a backbone to the file `path`, in a process of its own.

    Raises:
        Failure: the export failed, in its own words, or the file would be larger than 2 GB.
        UsageFailure: there is no folder to write in, or the request does not fit.
    """
    if not path.parent.is_dir():
        raise UsageFailure(f"there is no folder {path.parent} to write {path.name} in")
    with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as folder:
        model = export_in_child(request, Path(folder))
        for level, text in model.remarks:
            _log.log(level, "%s", text)
        unfinished = Path(folder) / "one.onnx"
        write_one_file(load_onnx(model.path), unfinished)
        sha256, description = digests(unfinished), model.description
        if description.quantization is not None:
            levels = description.quantization["levels"]
            quantization = {"levels": levels, **sha256.record("model", "data")}
            description = replace(description, quantization=quantization)
        unfinished.replace(path)
    return ModelFile(path, sha256, description)
