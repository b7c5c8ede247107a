"""What a fit leaves on disk: the head, its metrics, its predictions, and where they go."""

import csv
import hashlib
import io
import json
import logging
import platform
import time
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from cache.failures import Failure
from cache.files import is_vacant, read_bounded, write_whole
from cache.summaries import MAX_BYTES
from engine.heads.fit import Fit
from engine.heads.head import FILE_NAME
from engine.heads.learning_curve import LearningCurve
from engine.heads.split import SIDES

_log = logging.getLogger(__name__)

METRICS = "metrics.json"
PREDICTIONS = "predictions.csv"
_REPORT = "report.html"

# Characters of a name that come from one choice.
_NAME = 40


def write_head(fit: Fit, folder: Path, curve: LearningCurve | None = None) -> None:
    """Write `head.npz`, `metrics.json` and `predictions.csv` into a folder, made if need be.

    Each file appears whole or not at all; `metrics.json` names the head that it belongs to by
    its SHA-256. A report of an earlier head does not stay beside a new one.

    curve: the fit's, which goes into the metrics where it was made.

    Raises:
        Failure: `folder` is a file, or holds a head of other choices, or somebody's files.
        OSError: something could not be written.
    """
    if folder.exists() and not folder.is_dir():
        raise Failure(f"{folder} is a file; give a folder for the head")
    if not may_replace(folder, fit):
        if (folder / FILE_NAME).exists():
            held = "a head of another split, solver, dataset or class list"
        elif not _in_the_way(folder):
            held = "other files, and no head"
        else:
            held = f"a {' and a '.join(_in_the_way(folder))} that no fit of this head wrote"
        raise Failure(f"{folder} holds {held}; give another folder, or an empty one")
    folder.mkdir(parents=True, exist_ok=True)
    head = fit.head.file_bytes()
    (folder / _REPORT).unlink(missing_ok=True)
    record = {**metrics(fit, curve), "head_sha256": hashlib.sha256(head).hexdigest()}
    # Before the head, so that a head which a kill leaves says whose it is and may be replaced.
    write_whole(folder / METRICS, (json.dumps(record, indent=1) + "\n").encode("ascii"))
    write_whole(folder / FILE_NAME, head)
    write_whole(folder / PREDICTIONS, predictions(fit))


def default_folder(fit: Fit) -> Path:
    """Return where a head goes if nobody says: `heads/NAME` in the cache.

    The name says backbone, datasets, split, solver and seed. The same choices give the same
    folder, so fitting again replaces the head; one of other choices is never replaced.
    """
    space = fit.features.space
    datasets = "+".join(_last_part(name) for name in fit.features.datasets)
    choices = [
        str(space.names.get("backbone", "features")),
        space.id[:8],
        datasets,
        fit.split.name.replace("/", "-"),
        fit.solver.solver,
        *(["balanced"] if fit.solver.balanced else []),
        *(["grouped"] if fit.options.group_duplicates else []),
        f"seed{fit.options.seed}",
    ]
    name = "_".join(map(_plain, choices))
    heads = space.path.parents[1] / "heads"
    number = 1
    while not may_replace(heads / (name if number == 1 else f"{name}_{number}"), fit):
        number += 1
    return heads / (name if number == 1 else f"{name}_{number}")


def may_replace(folder: Path, fit: Fit) -> bool:
    """Tell whether a folder is empty or not there, or holds what the same choices made.

    A fit that was killed has left its metrics at least.
    """
    if not _in_the_way(folder):
        return is_vacant(folder)
    return read_metrics(folder).get("choices") == choices(fit)


def read_metrics(folder: Path) -> dict[str, Any]:
    """Return what a head's folder says of it; nothing where that is not to be had.

    The folder may be a stranger's: what is in the values, nobody has looked at.
    """
    try:
        record = json.loads(read_bounded(folder / METRICS, MAX_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        _log.debug("%s: %s", folder / METRICS, error)
        return {}
    return record if isinstance(record, dict) else {}


def _in_the_way(folder: Path) -> list[str]:
    """Return which of the files that a fit writes, its report too, a folder holds already."""
    names = (FILE_NAME, METRICS, PREDICTIONS, _REPORT)
    return [name for name in names if (folder / name).exists()]


def choices(fit: Fit) -> dict[str, Any]:
    """Return what a head was chosen to be, as JSON values: what another must not replace."""
    return {
        "space": fit.features.space.id,
        "datasets": list(fit.features.datasets),
        "classes": list(fit.features.classes),
        "split": fit.split.name,
        "seed": fit.options.seed,
        "group_duplicates": fit.options.group_duplicates,
        "solver": fit.solver.solver,
        "class_weight": "balanced" if fit.solver.balanced else None,
        **(
            {"epochs": fit.solver.epochs, "batch_size": fit.solver.batch_size}
            if fit.solver.solver == "adam"
            else {}
        ),
    }


def metrics(fit: Fit, curve: LearningCurve | None = None) -> dict[str, Any]:
    """Return all figures of a fit as JSON values: those of `--json` and what led to them."""
    features = fit.features
    return {
        "summary": summary(fit),
        **fit.payload(),
        "choices": choices(fit),
        # How the datasets' images are found again, wherever the head lies.
        "origins": features.origins,
        # Where a head that lies elsewhere finds its int8 model.
        "cache": str(features.space.path.parents[1].resolve()),
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "space_description": dict(features.space.description),
        "images": {
            "used": len(features),
            "per_class": features.counts.tolist(),
            "duplicates": features.duplicates,
            "conflicting": len(features.conflicts),
            "missing": features.missing,
            "rejected": len(features.rejected),
        },
        "warnings": list(fit.warnings),
        "unscaled_calibration_error": fit.unscaled_error,
        "chosen": dict(fit.solution.chosen),
        "history": [dict(point) for point in fit.solution.history],
        "learning_curve": None if curve is None else asdict(curve),
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
    }


def summary(fit: Fit) -> str:
    """Return what a head is worth, in a line."""
    return (
        f"{len(fit.features.classes):,} classes, accuracy {fit.test.accuracy:.4f} on "
        f"{len(fit.test.labels):,} test images, {time.strftime('%Y-%m-%d', time.gmtime())}"
    )


def predictions(fit: Fit) -> bytes:
    """Return a CSV of every image: path, side, label, prediction and a probability for each class.

    By path within a side. Probabilities have the six digits that float32 has.
    """
    features, stream = fit.features, io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["path", "side", "label", "predicted", *map(_text, features.classes)])
    for side in SIDES:
        scores = fit.scores(side)
        if scores is None:
            continue
        images = [features.paths[number] for number in fit.split.side(side)]
        for place in sorted(range(len(images)), key=images.__getitem__):
            writer.writerow(
                [
                    _text(images[place]),
                    side,
                    _text(features.classes[scores.labels[place]]),
                    _text(features.classes[scores.predicted[place]]),
                    *(f"{value:.6g}" for value in scores.probabilities[place].tolist()),
                ]
            )
    return stream.getvalue().encode("utf-8")


def _text(text: str) -> str:
    """Return text as UTF-8 can say it: bytes of a name that are no text become marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _last_part(name: str) -> str:
    return PurePath(name.replace("\\", "/")).name.split(".")[0] or "data"


def _plain(text: str) -> str:
    """Return a part of a file's name that every file system takes."""
    return "".join(
        character if character.isascii() and (character.isalnum() or character in "-+") else "-"
        for character in text[:_NAME]
    )
