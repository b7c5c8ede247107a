"""Files of rows: a segment of a dataset is an immutable HDF5 file of these arrays.

    paths, labels, reasons            uint8 (bytes,)   texts end to end, UTF-8 (surrogatepass)
    paths_ends, labels_ends, ..._ends int64 (count,)   where each text ends
    label, reason                     int32 (N,)       which label or reason; -1 for none
    digest                            uint8 (N, 32)    zeros where the bytes could not be read
    status                            uint8 (N,)       0 cached, 1 rejected
    split                             uint8 (N,)       0 none, 1 train, 2 validation, 3 test
    stat                              int64 (N, 4)     size, modified, changed, number; or -1
    facts      checksum (XXH3-64 over all of these, in this order)

Version 1 of the format has neither split nor stat.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import xxhash

from cache.files import Damaged
from cache.hdf5 import file_bytes, opened
from cache.rows import SPLITS, STATUSES, Row, Stat

COLUMNS = (
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
    ("split", "|u1", (None,)),
    ("stat", "<i8", (None, 4)),
)

_SINCE_VERSION_2 = ("split", "stat")

_OF_EACH_ROW = ("label", "reason", "digest", "status", "split", "stat")

_TEXTS_AT_ONCE = 4096

_NO_STAT = Stat(-1, -1, -1, -1)


class RowColumns:
    """Rows column by column, in some 80 bytes of memory each beside their paths. Only grows."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._paths, self._paths_ends = bytearray(), array("q")
        self._labels: dict[str, int] = {}
        self._reasons: dict[str, int] = {}
        self._label, self._reason = array("i"), array("i")
        self._digest, self._status, self._split = bytearray(), bytearray(), bytearray()
        self._stat = array("q")
        self.extend(rows)

    def extend(self, rows: Iterable[Row]) -> None:
        """Add rows."""
        for row in rows:
            self._paths += _encoded(row.path)
            self._paths_ends.append(len(self._paths))
            label, reason = row.label, row.reason
            self._label.append(
                -1 if label is None else self._labels.setdefault(label, len(self._labels))
            )
            self._reason.append(
                self._reasons.setdefault(reason, len(self._reasons)) if reason else -1
            )
            self._digest += row.digest or bytes(32)
            self._status.append(STATUSES.index(row.status))
            self._split.append(SPLITS.index(row.split))
            self._stat.extend(row.stat or _NO_STAT)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of a file, by name. They must be let go before more rows are added."""
        labels, label = _sorted_codes(self._labels, self._label)
        reasons, reason = _sorted_codes(self._reasons, self._reason)
        return {
            "paths": np.frombuffer(self._paths, np.uint8),
            "paths_ends": np.frombuffer(self._paths_ends, np.int64).astype("<i8", copy=False),
            **_texts("labels", labels),
            **_texts("reasons", reasons),
            "label": label,
            "reason": reason,
            "digest": np.frombuffer(self._digest, np.uint8).reshape(-1, 32),
            "status": np.frombuffer(self._status, np.uint8),
            "split": np.frombuffer(self._split, np.uint8),
            "stat": np.frombuffer(self._stat, np.int64).astype("<i8", copy=False).reshape(-1, 4),
        }


def rows_bytes(columns: RowColumns) -> bytes:
    """Return the bytes of a file of rows."""
    arrays = columns.arrays()
    return file_bytes("table", {"checksum": checksum(arrays)}, arrays)


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a file. Raises Damaged if they are not what was written."""
    columns = read_columns(path)
    try:
        return _rows(columns)
    except (ValueError, LookupError) as error:
        raise Damaged(f"{path} is damaged: {error}") from error


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a file of rows. Raises Damaged if they are not what was written."""
    with opened(path, "table") as file:
        there = [c for c in COLUMNS if file.version > 1 or c[0] not in _SINCE_VERSION_2]
        columns = {name: file.array(name, dtype, shape).read() for name, dtype, shape in there}
        if checksum(columns) != file.number("checksum"):
            raise Damaged(f"{path} is damaged: its rows are not what was written")
    count = len(columns["status"])
    columns.setdefault("split", np.zeros(count, np.uint8))
    columns.setdefault("stat", np.full((count, 4), -1, "<i8"))
    # A stranger's may have any checksum, and few bytes could be many.
    if not all(len(columns[name]) == count for name in ("paths_ends", *_OF_EACH_ROW)):
        raise Damaged(f"{path} is damaged: its columns are not of one length")
    for name in ("paths", "labels", "reasons"):
        starts = np.concatenate([np.zeros(1, "<i8"), columns[f"{name}_ends"]])
        if (starts[1:] < starts[:-1]).any() or starts[-1] != len(columns[name]):
            raise Damaged(f"{path} is damaged: its {name} do not lie end to end")
    return columns


def read_checksum(path: Path) -> int:
    """Return the checksum that a file of rows gives. Damaged if it gives none."""
    with opened(path, "table") as file:
        return file.number("checksum")


def checksum(columns: Mapping[str, np.ndarray]) -> int:
    """Return the XXH3-64 of those of COLUMNS that are there."""
    digest = xxhash.xxh3_64()
    for name, _, _ in COLUMNS:
        if name in columns:
            digest.update(np.ascontiguousarray(columns[name]).data)
    return digest.intdigest()


def encoded_texts(columns: Mapping[str, np.ndarray], name: str) -> Iterator[bytes]:
    """Yield the texts of a column of `read_columns` as they are stored, without a list of them."""
    data, ends = columns[name].data, columns[f"{name}_ends"]
    start = 0
    for block in range(0, len(ends), _TEXTS_AT_ONCE):
        for end in ends[block : block + _TEXTS_AT_ONCE].tolist():
            yield bytes(data[start:end])
            start = end


def label_counts(columns: Mapping[str, np.ndarray]) -> Counter[str | None]:
    """Return how many rows of `read_columns` have each label, or none."""
    labels = [text.decode("utf-8", "surrogatepass") for text in encoded_texts(columns, "labels")]
    codes, counts = np.unique(columns["label"], return_counts=True)
    return Counter(
        {
            labels[code] if 0 <= code < len(labels) else None: count
            for code, count in zip(codes.tolist(), counts.tolist(), strict=True)
        }
    )


def _rows(columns: Mapping[str, np.ndarray]) -> list[Row]:
    labels, reasons = (
        [text.decode("utf-8", "surrogatepass") for text in encoded_texts(columns, name)]
        for name in ("labels", "reasons")
    )
    digests = columns["digest"].tobytes()
    readable = np.asarray(columns["digest"].any(axis=1))
    if not readable[columns["status"] == STATUSES.index("cached")].all():
        raise ValueError("a cached row has no digest")
    codes = (columns[name].tolist() for name in ("label", "reason", "status", "split", "stat"))
    return [
        Row(
            path.decode("utf-8", "surrogatepass"),
            labels[label] if label >= 0 else None,
            digests[32 * number : 32 * number + 32] if known else b"",
            STATUSES[status],
            reasons[reason] if reason >= 0 else "",
            SPLITS[split],
            Stat(*stat) if stat[0] >= 0 else None,
        )
        for number, (path, known, label, reason, status, split, stat) in enumerate(
            zip(encoded_texts(columns, "paths"), readable.tolist(), *codes, strict=True)
        )
    ]


def _sorted_codes(texts: Mapping[str, int], codes: "array[int]") -> tuple[list[str], np.ndarray]:
    """Return texts in their order, and codes, int32 (N,), that count in it."""
    order = sorted(texts)
    rank = np.full(len(texts) + 1, -1, "<i4")  # the last one stands for none, which is -1
    rank[[texts[text] for text in order]] = np.arange(len(order))
    return order, rank[np.frombuffer(codes, np.int32)]


def _texts(name: str, texts: Iterable[str]) -> dict[str, np.ndarray]:
    encoded = [_encoded(text) for text in texts]
    return {
        name: np.frombuffer(b"".join(encoded), np.uint8),
        f"{name}_ends": np.cumsum([len(text) for text in encoded], dtype="<i8"),
    }


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
