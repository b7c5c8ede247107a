"""A head on disk -> one ONNX classifier, at the precision that is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.classifiers.change import Change
from engine.classifiers.find_backbone import backbone_of
from engine.classifiers.other_precision import HeadPlace, at_precision, check_precision
from engine.classifiers.to_onnx import export_classifier
from engine.heads.head import load_head


@dataclass(frozen=True)
class ExportedHead:
    """A classifier that was written. record: what it says of itself, see `export_classifier`."""

    record: dict[str, Any]
    change: Change | None


def export_head(
    place: HeadPlace, out: Path, precision: str | None = None, source: str | None = None
) -> ExportedHead:
    """Write the classifier of a head to the file `out`.

    precision: `fp32`, `int8` or `fast`; None for that of the features it was trained on. With
    another one its answers change, and by how much is measured, see `at_precision`.
    source: of images for that; None for the head's own.

    Raises:
        Failure: the head, its backbone or the source cannot be used.
        UsageFailure: what is asked for does not fit together.
        OSError: it could not be written.
    """
    head = load_head(place.path)
    own_precision = str(head.description.get("precision"))
    wanted = check_precision(precision, own_precision, calibrated=source is not None)
    # A backbone that is named is an fp32 one: of a head on others, the form that is asked for.
    named = None if wanted == "fp32" != own_precision else place.named
    model = backbone_of(head, place.path, place.cache, named)
    if wanted == own_precision:
        return ExportedHead(export_classifier(head, model, out), None)
    with at_precision(head, model, wanted, place, source) as (other, change):
        return ExportedHead(export_classifier(head, other, out, change), change)
