"""What an exported backbone says about itself, and what identifies its features."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cache.failures import Failure
from cache.files import Damaged
from cache.record import read_record, write_record
from engine.graphs.model_file import Digests

# What a model's record says that it is one of.
_RECORD = "model"

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
    pool: how the map at that layer became a vector, see `engine.backbones.request.POOLS`.
    features: floats per image that it gives, float32 (N, features).
    precision: `fp32`, `int8` or `fast`.
    parameters: how many frozen ones.
    provenance: whence the weights came and the versions that exported them.
    quantization: of a model made for a cache's own images, the SHA-256 of its files, `model` and,
        where it has one, `data`, and `levels`, the largest magnitude of its int8 weights; None
        where it is fast by fewer multiplications alone.
    factorization: of a fast model, `ranks` of its convolutions.
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
    factorization: Mapping[str, Any] | None = None
    pool: str = "none"


@dataclass(frozen=True)
class ModelFile:
    """An exported backbone on disk.

    path: of its graph; `engine.graphs.model_file` says where the rest is.
    digests: SHA-256 of its files. remedy: what to do about one that is damaged.
    remarks: what its export said, as (level of logging, text).
    """

    path: Path
    digests: Digests
    description: ModelDescription
    remedy: str = "delete its folder and run again to make it anew"
    remarks: tuple[tuple[int, str], ...] = ()


def feature_space(
    model: ModelDescription, *, interpolation: str, decode_rule: str, crop: str = "squash"
) -> dict[str, Any]:
    """Return everything that can change a feature, for the cache to name the space by.

    interpolation, crop: see `engine.images.framing`.
    """
    identity = asdict(model)
    del identity["provenance"]
    for name in ("quantization", "factorization"):
        if identity[name] is None:
            del identity[name]
    if model.pool == "none":  # as in spaces that are older than pooling
        del identity["pool"]
    if crop != "squash":  # as in spaces that are older than crops
        identity["crop"] = crop
    return {**identity, "interpolation": interpolation, "decode": decode_rule}


def read_description(path: Path, model: Path) -> ModelFile:
    """Read the record of a model; Failure if it is not what `write_description` wrote.

    It is sealed: one that says another preprocessing than the graph has would name a true space.
    """
    try:
        record = read_record(path, _RECORD)["model"]
        names = [field.name for field in fields(ModelDescription)]
        known = {name: record[name] for name in names if name in record}
        digests = Digests(record["sha256"], record.get("data_sha256"))
        remarks = tuple((int(level), str(text)) for level, text in record.get("remarks", ()))
        return ModelFile(model, digests, ModelDescription(**known), remarks=remarks)
    except (OSError, Damaged, ValueError, KeyError, TypeError) as error:
        raise Failure(f"{path} is damaged; delete its folder and run again") from error


def write_description(path: Path, record: Mapping[str, Any]) -> None:
    """Write the record of a model, the JSON that its export printed, with a checksum."""
    write_record(path, _RECORD, {"model": record})
