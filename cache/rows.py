"""The rows of a dataset: one for each sample, with its path, label, digest, status and reason.

A segment of them is an immutable HDF5 file, named by its generation and the SHA-256 of its bytes:

    paths, labels, reasons            uint8 (bytes,)   texts end to end, UTF-8 (surrogatepass)
    paths_ends, labels_ends, ..._ends int64 (count,)   where each text ends
    label, reason                     int32 (N,)       which label or reason; -1 for none
    digest                            uint8 (N, 32)    zeros where the bytes could not be read
    status                            uint8 (N,)       0 cached, 1 rejected
    facts      checksum (XXH3-64 over all of these, in this order)
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from cache.files import Damaged
from cache.hdf5 import file_bytes, opened

STATUSES = ("cached", "rejected")

_COLUMNS = (
    ("paths", "|u1", (None,)),
    ("paths_ends", "<i8", (None,)),
    ("labels", "|u1", (None,)),
    ("labels_ends", "<i8", (None,)),
    ("reasons", "|u1", (None,)),
    ("reasons_ends", "<i8", (None,)),
    ("label", "<i4", (None,)),
    ("reason", "<i4", (None,)),
    ("digest", "|u1", (None, 32)),
    ("status", "|u1", (None,)),
)


@dataclass(frozen=True)
class Row:
    """One sample.

    digest: 32 bytes, or none where the sample's bytes could not be read.
    status: `cached`, or `rejected` with a reason.
    """

    path: str
    label: str | None
    digest: bytes
    status: str
    reason: str = ""


def rows_bytes(rows: Sequence[Row]) -> bytes:
    """Return the bytes of a file of rows."""
    labels = sorted({row.label for row in rows if row.label is not None})
    reasons = sorted({row.reason for row in rows if row.reason})
    label_codes = {label: code for code, label in enumerate(labels)}
    reason_codes = {reason: code for code, reason in enumerate(reasons)}
    digests = b"".join(row.digest or bytes(32) for row in rows)
    columns = {
        **_packed("paths", [row.path for row in rows]),
        **_packed("labels", labels),
        **_packed("reasons", reasons),
        "label": np.array(
            [label_codes.get(row.label or "", -1) if row.label is not None else -1 for row in rows],
            "<i4",
        ),
        "reason": np.array([reason_codes.get(row.reason, -1) for row in rows], "<i4"),
        "digest": np.frombuffer(digests, np.uint8).reshape(-1, 32),
        "status": np.array([STATUSES.index(row.status) for row in rows], np.uint8),
    }
    return file_bytes("table", {"checksum": _checksum(columns)}, columns)


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a file. Raises Damaged if they are not what was written."""
    with opened(path, "table") as file:
        columns = {name: file.array(name, dtype, shape).read() for name, dtype, shape in _COLUMNS}
        if _checksum(columns) != file.number("checksum"):
            raise Damaged(f"{path} is damaged: its rows are not what was written")
    try:
        return _rows(columns)
    except (ValueError, LookupError) as error:  # a stranger's: checksums do not make sense of it
        raise Damaged(f"{path} is damaged: {error}") from error


def _rows(columns: dict[str, np.ndarray]) -> list[Row]:
    paths, labels, reasons = (
        _unpacked(columns[name], columns[f"{name}_ends"]) for name in ("paths", "labels", "reasons")
    )
    digests = columns["digest"].tobytes()
    readable = np.asarray(columns["digest"].any(axis=1))
    if not readable[columns["status"] == STATUSES.index("cached")].all():
        raise ValueError("a cached row has no digest")
    codes = (columns[name].tolist() for name in ("label", "reason", "status"))
    return [
        Row(
            path,
            labels[label] if label >= 0 else None,
            digests[32 * number : 32 * number + 32] if known else b"",
            STATUSES[status],
            reasons[reason] if reason >= 0 else "",
        )
        for number, (path, known, label, reason, status) in enumerate(
            zip(paths, readable.tolist(), *codes, strict=True)
        )
    ]


def _packed(name: str, texts: Iterable[str]) -> dict[str, np.ndarray]:
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return {
        name: np.frombuffer(b"".join(encoded), np.uint8),
        f"{name}_ends": np.cumsum([len(text) for text in encoded], dtype="<i8"),
    }


def _unpacked(texts: np.ndarray, ends: np.ndarray) -> list[str]:
    """Return the texts. ValueError unless they lie end to end: else few bytes could be many."""
    starts = np.concatenate([np.zeros(1, "<i8"), ends])
    if (starts[1:] < starts[:-1]).any() or starts[-1] != len(texts):
        raise ValueError("its texts do not lie end to end")
    data = texts.tobytes()
    return [
        data[start:end].decode("utf-8", "surrogatepass")
        for start, end in zip(starts[:-1].tolist(), ends.tolist(), strict=True)
    ]


def _checksum(columns: dict[str, np.ndarray]) -> int:
    digest = xxhash.xxh3_64()
    for name, _, _ in _COLUMNS:
        digest.update(np.ascontiguousarray(columns[name]).data)
    return digest.intdigest()


def overlay(segments: Iterable[Sequence[Row]]) -> Iterator[Row]:
    """Yield the rows of segments, a later one's instead of an earlier one's of the same path."""
    rows: dict[str, Row] = {}
    for segment in segments:
        rows.update((row.path, row) for row in segment)
    yield from rows.values()
