"""Sources of plain files: a folder, a CSV that lists them, or names one by one."""

import csv
import os
import stat
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from cache.commandline.printable import printable
from cache.failures import Failure
from engine.images.formats import HEAD_BYTES
from engine.sources.base import Sample, Source, Unreadable, within_limit
from engine.sources.layout import is_sample, labelled

_Identity = tuple[int, int]


class FolderSource(Source):
    """A folder. Links are followed, but for those that lead back to a folder they lie in.

    Raises Failure if one of its folders cannot be listed.
    """

    def __init__(self, path: Path) -> None:
        names, ignored = [], 0
        for name in _walk(path):
            if is_sample(name, partial(_head, path / name)):
                names.append(name)
            else:
                ignored += 1
        super().__init__(path, labelled(names), ignored)

    def read(self, sample: Sample) -> bytes:
        """Return a file's bytes, see Source."""
        return _read(self.location / sample.path)

    def close(self) -> None:
        """Do nothing: no file stays open."""


def _walk(top: Path) -> Iterator[str]:
    """Yield the paths of all files below a folder, with `/`."""
    # Folders to list: each with its path below `top`, and the identities of those it lies in.
    pending: list[tuple[Path, str, frozenset[_Identity]]] = [(top, "", frozenset())]
    while pending:
        folder, prefix, above = pending.pop()
        try:
            status = folder.stat()
            here = (status.st_dev, status.st_ino)
            if here in above:
                continue
            with os.scandir(folder) as entries:
                listed = [(entry.name, entry.is_dir()) for entry in entries]
        except OSError as error:
            shown = printable(str(folder))
            raise Failure(
                f"{shown} cannot be listed: {error.strerror}; make it readable"
            ) from error
        for name, is_folder in listed:
            if is_folder:
                pending.append((folder / name, f"{prefix}{name}/", above | {here}))
            else:
                yield prefix + name


def _head(path: Path) -> bytes:
    """Return a file's first bytes; none where they cannot be had, as of a pipe."""
    try:
        return _read(path, HEAD_BYTES)
    except Unreadable:
        return b""


def _read(path: Path, first: int = -1) -> bytes:
    """Return a regular file's bytes, or the first so many.

    Raises:
        Unreadable: there is none, it may not be read, it is larger than MAX_BYTES, or it is a pipe
            or a device, which might never end.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("not a regular file")
        if first < 0:
            within_limit(status.st_size)
        with path.open("rb", buffering=0) as file:
            return file.read(first)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the name
        raise Unreadable(f"cannot be read: {error}") from error


class ListedFiles(Source):
    """Files named one by one; all of them are samples, without labels, in the order given."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(Path(), [Sample(name, None) for name in names], 0)

    def read(self, sample: Sample) -> bytes:
        """Return a file's bytes, see Source."""
        return _read(Path(sample.path))

    def close(self) -> None:
        """Do nothing: no file stays open."""


class CsvSource(Source):
    """A table with the columns path and label; relative paths count from the table's folder.

    Each row is a sample; one with an empty label has none. Raises Failure, with the line, for a
    table that says less or contradicts itself.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, _rows(path), 0)

    def read(self, sample: Sample) -> bytes:
        """Return a file's bytes, see Source."""
        return _read(self.location.parent / sample.path)

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
