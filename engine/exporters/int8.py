"""A backbone request and a source to calibrate on -> one int8 or fast ONNX file."""

import logging
import tempfile
from pathlib import Path

from cache.failures import Failure, UsageFailure
from cache.files import publish, temporary
from engine.backbones.model import ModelFile
from engine.backbones.request import BackboneRequest
from engine.backbones.store import exported_model
from engine.graphs.files import load_onnx, write_one_file
from engine.graphs.model_file import digests
from engine.graphs.session import available_cores
from engine.images.decode import DECODE_RULE
from engine.images.framing import Framing
from engine.precision.cached_model import made_description
from engine.precision.calibration_set import Images
from engine.precision.choice import TooFewImages, make_candidate
from engine.sources.open import open_source

_log = logging.getLogger(__name__)


def export_int8(
    request: BackboneRequest,
    source: str,
    path: Path,
    *,
    framing: Framing,
    precision: str,
) -> ModelFile:
    """Export a backbone as int8 or fast, calibrated on images of a source, to the file `path`.

    precision: `int8` or `fast`; or `auto`, by which the file is fp32 where int8 does not pay or
        hold here.

    Raises:
        Failure: the source or the backbone cannot be used, or there are too few images.
        UsageFailure: there is no folder to write in, or the backbone is not fp32.
    """
    if not path.parent.is_dir():
        raise UsageFailure(f"there is no folder {path.parent} to write {path.name} in")
    model = exported_model(request)
    if model.description.precision != "fp32":
        raise UsageFailure(
            f"{request.backbone} is {model.description.precision} already; give its fp32 file"
        )
    with open_source(source) as opened, tempfile.TemporaryDirectory() as folder:
        images = Images(
            opened, opened.samples, framing, DECODE_RULE, seed=0, threads=available_cores()
        )
        try:
            wanted = "int8" if precision == "auto" else precision
            candidate = make_candidate(model, images, Path(folder), wanted)
        except TooFewImages as few:
            raise Failure(f"{few}; {source} has fewer") from few
        _log.info("%s", candidate.quantized.parity.summary())
        taken = precision != "auto" or not candidate.objections
        if not taken:
            _log.info("fp32, for int8 was measured and left: %s", "; ".join(candidate.objections))
        with temporary(path.parent) as unfinished:
            write_one_file(load_onnx(candidate.file if taken else model.path), unfinished)
            sha256 = digests(unfinished)
            publish(unfinished, path)
    description = model.description
    if taken:
        description = made_description(description, candidate.quantized, sha256)
    return ModelFile(path, sha256, description)
