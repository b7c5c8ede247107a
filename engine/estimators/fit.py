"""What a fit leaves: the head, its metrics, its report, and the lines on the terminal."""

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np

from cache.commandline.printable import printable
from cache.failures import Failure
from cache.files import write_whole
from engine.heads.dataset import SIDES
from engine.heads.fit import Fit
from engine.heads.head import FILE_NAME

# Class names on one line of the terminal.
_NAMED = 10


def write_fit(fit: Fit, out: str | None, *, report: bool) -> Path:
    """Write `head.npz`, `metrics.json` and, if asked, `report.html`; return their folder.

    Each file appears whole or not at all; `metrics.json` names the head that it belongs to by
    its SHA-256. A report of an earlier head does not stay beside a new one.

    out: None for a folder in the cache, see `default_folder`.

    Raises:
        Failure: `out` is a file.
        OSError: something could not be written.
    """
    folder = Path(out) if out else default_folder(fit)
    if folder.exists() and not folder.is_dir():
        raise Failure(f"{folder} is a file; give --out a folder")
    folder.mkdir(parents=True, exist_ok=True)
    head = fit.head.file_bytes()
    page = folder / "report.html"
    page.unlink(missing_ok=True)
    write_whole(folder / FILE_NAME, head)
    record = {**metrics(fit), "head_sha256": hashlib.sha256(head).hexdigest()}
    write_whole(folder / "metrics.json", (json.dumps(record, indent=1) + "\n").encode("ascii"))
    if report:
        from engine.pages.report import report_page

        write_whole(page, report_page(fit).encode("utf-8"))
    return folder


def default_folder(fit: Fit) -> Path:
    """Return where a head goes without --out: `heads/NAME` in the cache.

    The same space, solver and seed give the same name, so fitting again replaces the head.
    """
    backbone = "".join(
        character if character.isascii() and (character.isalnum() or character in "-_") else "-"
        for character in str(fit.space.description.get("backbone", "features"))[:40]
    )
    name = f"{backbone}-{fit.space.id[:8]}-{fit.options.solver.solver}-seed{fit.options.seed}"
    return Path(fit.options.cache) / "heads" / name


def metrics(fit: Fit) -> dict[str, Any]:
    """Return all figures of a fit as JSON values: those of `--json` and what led to them."""
    dataset = fit.dataset
    return {
        **fit.payload(),
        "space_description": dict(fit.space.description),
        "seed": fit.options.seed,
        "percentages": list(fit.options.percentages),
        "datasets": fit.datasets,
        "images": {
            "used": len(dataset.labels),
            "per_class": dataset.counts.tolist(),
            "duplicates": dataset.duplicates,
            "conflicting": dataset.conflicting,
            "unlabelled": dataset.unlabelled,
            "missing": dataset.missing,
            "rejected": dataset.rejected,
        },
        "chosen": fit.chosen,
        "history": list(fit.history),
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
    }


def summary(fit: Fit, out: Path) -> str:
    """Return the lines that the command prints."""
    classes = fit.dataset.classes
    named = ", ".join(printable(label, 40) for label in classes[:_NAMED])
    more = ", ..." if len(classes) > _NAMED else ""
    lines = [
        f"{len(classes)} classes ({named}{more})",
        f"{fit.head.trainable_parameters:,} trainable parameters",
        f"{'':<11}{'images':>8}{'loss':>10}{'accuracy':>10}",
    ]
    for side, scores in zip(SIDES, fit.scores, strict=True):
        lines.append(
            f"{side:<11}{len(scores.labels):>8,}{scores.loss:>10.4f}{scores.accuracy:>10.4f}"
        )
    lines += [
        _choice(fit),
        f"head in {printable(str(out))}; {fit.seconds:.2f} s",
        f"next: python -m engine.predict IMAGE --head {printable(str(out))}",
    ]
    return "\n".join(lines)


def _choice(fit: Fit) -> str:
    if fit.options.solver.solver == "lbfgs":
        return (
            f"lbfgs: L2 strength {fit.chosen['l2']:.3g} has the least validation loss "
            f"of {len(fit.history)} tried"
        )
    return f"adam: {fit.chosen['epochs']} epochs of batches of {fit.chosen['batch_size']}"
