"""`review.csv`: a row an image, to sort, mark and feed back; and the table that marks give."""

import csv
import difflib
import io
import logging
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.commandline.printable import printable
from cache.failures import Failure
from cache.files import read_bounded, write_whole
from engine.data_review.findings import Findings
from engine.heads.split import SIDES
from engine.sources.dialect import MAX_TABLE_BYTES
from engine.sources.regular import read_first
from engine.sources.remote.address import is_remote
from engine.sources.tar_members import is_packed

_log = logging.getLogger(__name__)

NAME = "review.csv"

# What stands in `new_label` of an image that is to be left out.
DROP = "drop"

_COLUMNS = (
    "path",
    "label",
    "new_label",
    "suggested",
    "score",
    "confidence",
    "side",
    "nearest_cosine",
    "near_duplicate",
    "dataset",
    "split",
)

# Of a remote archive nothing but its name is at hand.
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".xz", ".txz", ".bz2", ".tbz2")

# Bytes that tell a packed archive.
_HEAD_BYTES = 6

# What programs put between the columns of a sheet that they save.
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Corrections:
    """What a sheet's marks did to its rows.

    kept, changed, dropped: how many rows. base: the archive or address that the table's paths
    count from; None where they are those of files.
    """

    kept: int
    changed: int
    dropped: int
    base: str | None = None

    def payload(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def sheet(findings: Findings) -> bytes:
    """Return the sheet, UTF-8: every image, the most suspected label first.

    `new_label` is empty: who reviews writes a class, or `drop`.
    """
    features, stream = findings.features, io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    partner: dict[int, int] = {}
    for one, other in findings.pairs.images.tolist():
        partner.setdefault(one, other)
        partner.setdefault(other, one)
    for image in findings.ranked.tolist():
        suggested = findings.suggested[image]
        row = (
            features.paths[image],
            findings.label(image),
            "",
            features.classes[suggested] if suggested >= 0 else "",
            _number(findings.suspicion[image]),
            _number(findings.confidence[image]),
            findings.side(image),
            _number(findings.pairs.nearest[image]),
            features.paths[partner[image]] if image in partner else "",
            features.datasets[features.dataset_of[image]],
            SIDES[side] if (side := features.own_sides[image]) >= 0 else "",
        )
        writer.writerow([text.encode("utf-8", "replace").decode("utf-8") for text in row])
    for conflict in features.conflicts:
        for dataset, path, label in conflict.samples:
            row = (path, label, "", "", "", "", "conflict", "", "", dataset, "")
            writer.writerow([text.encode("utf-8", "replace").decode("utf-8") for text in row])
    return stream.getvalue().encode("utf-8")


def apply_sheet(sheet_path: Path, out: Path) -> Corrections:
    """Write a table of path and label with a sheet's marks; return what these did.

    A row of a conflict without a mark is left out. Nothing but `out`, which must be new, changes.

    Raises:
        Failure: the sheet is none, or `out` is there already.
    """
    if out.exists():
        raise Failure(f"{printable(str(out))} is there already; give a new name")
    counts = {"kept": 0, "changed": 0, "dropped": 0}
    sheet_rows = _rows(sheet_path)
    known = {row["label"] for row in sheet_rows}
    rows, new = [], set()
    for row in sheet_rows:
        mark = row["new_label"].strip()
        # However it is typed, unless a class is called so.
        drop = mark == DROP or (mark.lower() == DROP and mark not in known)
        dropped = drop or (not mark and row.get("side") == "conflict")
        label = mark or row["label"]
        changed = bool(mark) and mark != row["label"]
        counts["dropped" if dropped else "changed" if changed else "kept"] += 1
        if not dropped:
            new |= {label} - known
            split = row.get("split", "")
            rows.append((_location(row["dataset"], row["path"]), label, split))
    for label in sorted(new):
        meant = difflib.get_close_matches(label, known, 1)
        _log.warning(
            "%s is a class that no image had%s",
            printable(label, 40),
            f"; {printable(meant[0], 40)} is one, if that was meant" if meant else "",
        )
    # The source's own split goes on, where it has one.
    columns = 3 if any(split for _, _, split in rows) else 2
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("path", "label", "split")[:columns])
    writer.writerows(row[:columns] for row in rows)
    write_whole(out, stream.getvalue().encode("utf-8"))
    base = _base({row["dataset"] for row in sheet_rows})
    return Corrections(**counts, base=base)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = read_bounded(path, MAX_TABLE_BYTES).decode("utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(_DELIMITERS, key=first.count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = [{key: value or "" for key, value in row.items() if key} for row in reader]
    except FileNotFoundError as error:
        raise Failure(f"there is no {printable(str(path))}; review a cache first") from error
    except OSError as error:
        raise Failure(
            f"{printable(str(path))} cannot be read: {error.strerror or error}"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise Failure(f"{printable(str(path))} is no CSV in UTF-8: {error}") from error
    missing = {"path", "label", "new_label", "dataset"} - set(reader.fieldnames or ())
    if missing:
        raise Failure(
            f"{printable(str(path))} lacks the columns {', '.join(sorted(missing))}; give a "
            f"{NAME} with its columns"
        )
    return rows


def _location(dataset: str, path: str) -> str:
    folder = _folder(dataset)
    return str(folder / path) if folder else path


def _base(datasets: Collection[str]) -> str | None:
    """Return what paths count from that are inside it; warn where a table cannot say that."""
    inside = sorted(dataset for dataset in datasets if not _folder(dataset))
    if len(inside) == len(datasets) == 1 and _serves(inside[0]):
        return inside[0]
    for dataset in inside:
        _log.warning(
            "paths of %s are those inside it: unpack it, and give its folder as the base of the "
            "table",
            printable(dataset),
        )
    return None


def _serves(dataset: str) -> bool:
    """Return whether a table's paths can count from a dataset: an archive, or a remote folder."""
    if is_remote(dataset):
        return not dataset.lower().endswith(_ARCHIVES)
    place = Path(dataset)
    return place.is_file() and not is_packed(read_first(place, _HEAD_BYTES))


def _folder(dataset: str) -> Path | None:
    """Return the folder that a dataset's paths are relative to, if it lies in one."""
    place = Path(dataset)
    if place.is_dir():
        return place
    if place.suffix.lower() in {".csv", ".tsv", ".parquet"}:
        return place.parent
    return None


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6f}"
