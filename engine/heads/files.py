"""What a fit leaves on disk: the head and its metrics, and where they go."""

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np

from cache.failures import Failure
from cache.files import write_whole
from engine.heads.fit import Fit
from engine.heads.head import FILE_NAME


def write_head(fit: Fit, folder: Path) -> None:
    """Write `head.npz` and `metrics.json` into a folder, which is made if need be.

    Each file appears whole or not at all; `metrics.json` names the head that it belongs to by
    its SHA-256. A report of an earlier head does not stay beside a new one.

    Raises:
        Failure: `folder` is a file.
        OSError: something could not be written.
    """
    if folder.exists() and not folder.is_dir():
        raise Failure(f"{folder} is a file; give a folder for the head")
    folder.mkdir(parents=True, exist_ok=True)
    head = fit.head.file_bytes()
    (folder / "report.html").unlink(missing_ok=True)
    write_whole(folder / FILE_NAME, head)
    record = {**metrics(fit), "head_sha256": hashlib.sha256(head).hexdigest()}
    write_whole(folder / "metrics.json", (json.dumps(record, indent=1) + "\n").encode("ascii"))


def default_folder(fit: Fit) -> Path:
    """Return where a head goes if nobody says: `heads/NAME` in the cache.

    The same space, solver and seed give the same name, so fitting again replaces the head.
    """
    space = fit.features.space
    backbone = "".join(
        character if character.isascii() and (character.isalnum() or character in "-_") else "-"
        for character in str(space.description.get("backbone", "features"))[:40]
    )
    name = f"{backbone}-{space.id[:8]}-{fit.solver.solver}-seed{fit.options.seed}"
    return space.path.parents[1] / "heads" / name


def metrics(fit: Fit) -> dict[str, Any]:
    """Return all figures of a fit as JSON values: those of `--json` and what led to them."""
    features = fit.features
    return {
        **fit.payload(),
        "space_description": dict(features.space.description),
        "seed": fit.options.seed,
        "percentages": list(fit.options.percentages),
        "datasets": list(features.datasets),
        "images": {
            "used": len(features),
            "per_class": features.counts.tolist(),
            "duplicates": features.duplicates,
            "conflicting": len(features.conflicts),
            "unlabelled": features.unlabelled,
            "missing": features.missing,
            "rejected": len(features.rejected),
        },
        "chosen": dict(fit.solution.chosen),
        "history": [dict(point) for point in fit.solution.history],
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
    }
