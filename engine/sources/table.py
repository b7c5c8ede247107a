"""A table that lists images by their paths, with their labels."""

import csv
from pathlib import Path

from cache.commandline.printable import printable
from cache.failures import Failure
from engine.sources.base import Sample, Source
from engine.sources.regular import read_file


class TableSource(Source):
    """A table with the columns path and label; relative paths count from the table's folder.

    Each row is a sample; one with an empty label has none. Raises Failure, with the line, for a
    table that says less or contradicts itself.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, _rows(path), 0)

    def read(self, sample: Sample) -> bytes:
        """Return a file's bytes, see Source."""
        return read_file(self.location.parent / sample.path)

    def close(self) -> None:
        """Do nothing: no file stays open."""


def _rows(path: Path) -> list[Sample]:
    shown = printable(str(path))
    lines: dict[str, tuple[int, str]] = {}
    samples = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            columns = list(rows.fieldnames or [])
            if columns.count("path") != 1 or columns.count("label") != 1:
                found = printable(",".join(columns))
                raise Failure(f"{shown} needs the first line path,label; it has {found or 'none'}")
            for row in rows:
                line = rows.line_num
                if None in row or None in row.values():
                    raise Failure(
                        f"{shown}, line {line}: not {len(columns)} values; "
                        "quote a value that holds a comma"
                    )
                name, label = row["path"], row["label"]
                if not name:
                    raise Failure(f"{shown}, line {line}: no path")
                first, other = lines.setdefault(name, (line, label))
                if label != other:
                    raise Failure(
                        f"{shown}, line {line}: {printable(name)} is {printable(label)} here and "
                        f"{printable(other)} on line {first}; keep one of them"
                    )
                samples.append(Sample(name, label or None))
    except csv.Error as error:
        raise Failure(f"{shown}, after line {rows.line_num}: no valid CSV: {error}") from error
    except UnicodeDecodeError as error:
        raise Failure(f"{shown} is not in UTF-8; save it as UTF-8: {error.reason}") from error
    except OSError as error:
        raise Failure(f"{shown} cannot be read: {error.strerror or error}") from error
    return samples
