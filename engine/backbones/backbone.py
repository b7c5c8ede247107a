"""A frozen backbone: what identifies its features, and the session that computes them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from cache.failures import Failure, first_line
from cache.files import is_link
from engine.graphs.model_file import Digests, data_file, digests
from engine.graphs.session import session

# Key of the JSON that an exported model carries in its metadata.
METADATA_KEY = "onceover"


@dataclass(frozen=True)
class ModelDescription:
    """What an exported backbone says about itself; all of it but `provenance` is its identity.

    backbone: name of the architecture, or digest of a user's own.
    weights: SHA-256 of the weights (`engine.exporters.weights`, or of a foreign ONNX file).
    layer: where it is cut.
    preprocessing: see `engine.backbones.preprocessing`; it is inside the graph.
    height, width: of the pixels it takes, uint8 (N, height, width, 3) RGB.
    features: floats per image that it gives, float32 (N, features).
    precision: `fp32` or `int8`.
    parameters: how many frozen ones.
    provenance: whence the weights came and the versions that exported them.
    quantization: of an int8 model, `levels` and the SHA-256 of its files, `model` and, where it
        has one, `data`.
    """

    backbone: str
    weights: str
    layer: str
    preprocessing: str
    height: int
    width: int
    features: int
    precision: str
    parameters: int
    provenance: Mapping[str, str]
    quantization: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ModelFile:
    """An exported backbone on disk.

    path: of its graph; `engine.graphs.model_file` says where the rest is.
    digests: SHA-256 of its files. remedy: what to do about one that is damaged.
    """

    path: Path
    digests: Digests
    description: ModelDescription
    remedy: str = "delete its folder and run again to make it anew"


def feature_space(
    model: ModelDescription, *, interpolation: str, decode_rule: str
) -> dict[str, Any]:
    """Return everything that can change a feature, for the cache to name the space by."""
    identity = asdict(model)
    del identity["provenance"]
    if model.quantization is None:
        del identity["quantization"]
    return {**identity, "interpolation": interpolation, "decode": decode_rule}


def read_description(path: Path, model: Path) -> ModelFile:
    """Read the record of a model, the JSON that its export printed; Failure if it is damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        names = [field.name for field in fields(ModelDescription)]
        known = {name: record[name] for name in names if name in record}
        digests = Digests(record["sha256"], record.get("data_sha256"))
        return ModelFile(model, digests, ModelDescription(**known))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(f"{path} is damaged; delete its folder and run again") from error


def check_model(model: ModelFile) -> None:
    """Check what is to be run: its bytes, its form and, where it is int8, this CPU's sums.

    Raises:
        Failure: it is damaged, it is not of a form that Onceover writes, or this CPU does not run
            it exactly.
    """
    for path in (model.path, data_file(model.path)):
        if is_link(path):
            raise Failure(f"{path} is a link, which is refused; put the file itself in its place")
    try:
        intact = digests(model.path) == model.digests
    except FileNotFoundError:
        intact = False
    if not intact:
        raise Failure(
            f"{model.path} is damaged: it does not match its recorded SHA-256; {model.remedy}"
        )
    from engine.graphs.files import refuse_foreign  # imports onnx

    quantization = model.description.quantization
    if quantization is not None:
        from engine.backbones.saturation import refuse_saturation

        refuse_saturation(model.path, quantization)
    refuse_foreign(model.path, plain=quantization is not None)


class Backbone:
    """An ONNX Runtime session from pixels to features.

    Several threads may call it at once; each call runs on the caller's thread alone, which keeps
    all cores busy without any waiting for another. The features of an image do not depend on the
    other images of its batch, nor on the number of threads: each output is one thread's fixed
    sequence of operations.
    """

    def __init__(self, model: ModelFile) -> None:
        """Load a model; Failure if it may not be run, see `check_model`."""
        check_model(model)
        self.description = model.description
        try:
            self._session = session(model.path)
        except Exception as error:  # each of ONNX Runtime's errors is an Exception of its own
            raise Failure(
                f"{model.path} cannot be loaded: {first_line(error)}; {model.remedy}"
            ) from error

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Return the features, float32 (N, D), of pixels, uint8 (N, height, width, 3) RGB."""
        (features,) = self._session.run(["features"], {"images": pixels})
        return np.asarray(features)
