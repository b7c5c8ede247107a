"""The rows of a dataset (one source) on disk: those of a finished run, and what a run adds.

Folder `datasets/KEY` of a space, KEY the first 16 hexadecimal digits of the SHA-256 of the
dataset's name; in it `dataset.json` with the name, and segments NUMBER-KIND-SHA256.h5, each a
file of `cache.row_files` named by its bytes' SHA-256. KIND `whole` holds all rows of a finished run
and takes the place of all before it; `rows` holds some of a run under way, and lies over them.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.failures import Failure
from cache.files import Damaged, file_sha256, refuse_links, write_whole
from cache.known_files import KnownFiles
from cache.part import SUFFIX
from cache.record import read_record, write_record
from cache.row_files import (
    RowColumns,
    checksum,
    encoded_texts,
    read_checksum,
    read_columns,
    read_rows,
    rows_bytes,
)
from cache.rows import STATUSES, Row, overlay

_NAME = "dataset.json"

_WHOLE, _PARTIAL = "whole", "rows"

# How often a reader lists the segments anew because a run finished and removed them meanwhile.
_ATTEMPTS = 5


@dataclass(frozen=True)
class Segments:
    """A dataset's files. Any number of processes may read and write them at once.

    The order of two segments is their numbers'; two runs that take the same number at once are
    ordered by the rest of the name, so all readers see one order. No clock is asked.
    """

    folder: Path
    name: str

    @property
    def record(self) -> Path:
        """Where the dataset's name is."""
        return self.folder / _NAME

    def paths(self) -> list[Path]:
        """Return the segments in force, oldest first."""
        paths = sorted(self.folder.glob(f"[0-9]*{SUFFIX}"))
        whole = [number for number, path in enumerate(paths) if f"-{_WHOLE}-" in path.name]
        return paths[whole[-1] :] if whole else paths

    def partial(self) -> list[Path]:
        """Return the segments of runs that are not finished: under way, or killed."""
        return list(self.folder.glob(f"[0-9]*-{_PARTIAL}-*{SUFFIX}"))

    def is_complete(self) -> bool:
        """Tell whether no segment has gone.

        Each run writes one when it begins, and none goes before a finished run has written a
        whole one: without such a one they are numbered from 1 on.
        """
        for _ in range(_ATTEMPTS):  # a run may finish while they are listed
            numbers = sorted({int(path.name.split("-", 1)[0]) for path in self.paths()})
            whole = any(f"-{_WHOLE}-" in path.name for path in self.paths())
            if whole or (numbers and numbers == list(range(1, len(numbers) + 1))):
                return True
        return not self.record.exists()

    def rows(self) -> list[Row]:
        """Return the rows in force. Raises Damaged if they are not what was written."""
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                return list(overlay(map(self._read, self.paths())))
        raise Failure(f"the rows of {self.name} change all the time; try again later")

    def _read(self, path: Path) -> list[Row]:
        try:
            return read_rows(path)
        except Damaged as damage:
            raise Damaged(f"{damage}; run the extraction of {self.name} again") from damage

    def known_files(self) -> KnownFiles:
        """Return which files need not be read again.

        What another process finishes or removes meanwhile, or is damaged, is left out: such files
        are read, and no more.
        """
        return KnownFiles(columns for path in self.paths() if (columns := _sound_columns(path)))

    def write(self, rows: RowColumns, kind: str) -> Path:
        """Write a segment after all that are there; return its path. Durable on return."""
        names = (path.name.split("-", 1)[0] for path in self.folder.glob(f"[0-9]*{SUFFIX}"))
        newest = max((int(name) for name in names if name.isdecimal()), default=0)
        data = rows_bytes(rows)
        digest = hashlib.sha256(data).hexdigest()
        path = self.folder / f"{newest + 1:08d}-{kind}-{digest}{SUFFIX}"
        write_whole(path, data)
        return path


def segments_of(space: Path, name: str) -> Segments:
    """Return where a dataset's segments are in the folder of a space, made or not."""
    key = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return Segments(space / "datasets" / key, name)


def begin_segments(space: Path, name: str) -> Segments:
    """Return a dataset's segments in the folder of a space, made where it is missing.

    A dataset that has its name has a segment: the marker of the run comes first.
    """
    segments = segments_of(space, name)
    refuse_links(segments.folder)
    segments.folder.mkdir(parents=True, exist_ok=True)
    segments.write(RowColumns(), _PARTIAL)
    try:
        read_segments(segments.folder)
    except (Damaged, FileNotFoundError):
        write_record(segments.record, "dataset", {"name": name})
    return segments


def read_segments(folder: Path) -> Segments:
    """Return the dataset that lies in a folder.

    Raises:
        Damaged: its name is not what was written.
        Failure: the folder is a link.
    """
    refuse_links(folder)
    name = _read_name(folder / _NAME)
    if segments_of(folder.parent.parent, name).folder != folder:
        raise Damaged(f"{folder / _NAME} does not belong to the folder that it is in")
    return Segments(folder, name)


def list_segments(space: Path) -> list[Segments]:
    """Return all datasets of a space. Raises as `read_segments` does."""
    return [read_segments(record.parent) for record in (space / "datasets").glob(f"*/{_NAME}")]


def _sound_columns(path: Path) -> dict[str, np.ndarray] | None:
    with contextlib.suppress(Damaged, FileNotFoundError):
        return read_columns(path)
    return None


def _read_name(path: Path) -> str:
    try:
        name = read_record(path, "dataset").get("name")
        if not isinstance(name, str):
            raise Damaged(f"{path} is damaged: it has no name")
    except Damaged as damage:
        raise Damaged(f"{damage}; the next extraction of that source mends it") from damage
    return name


class DatasetWriter:
    """Writes a run's rows: some at a time while it is under way, all when it is finished.

    Until it is finished its rows lie over those of the last finished run, path by path; then
    they replace them. Each call is durable on return. One thread's; any number of processes may
    each have one for the same dataset, and the last to finish is the one that counts.
    """

    def __init__(self, segments: Segments, *, adds: bool = False) -> None:
        """Begin a run. segments: with the marker that tells `gc` that features may be wanted.

        adds: whether the rows of earlier runs stay, but for those of the same paths. One process
            at a time may add to a dataset.
        """
        self._segments, self._adds = segments, adds
        self._rows = RowColumns()

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows."""
        added = list(rows)
        self._segments.write(RowColumns(added), _PARTIAL)
        self._rows.extend(added)

    def lost(self, contains: Callable[[np.ndarray], np.ndarray]) -> set[str]:
        """Return the paths of this run's cached rows whose features are not there.

        contains: tells for digests, uint8 (N, 32), which features there are: bool (N,).
        """
        columns = self._rows.arrays()
        cached = columns["status"] == STATUSES.index("cached")
        gone = cached & ~contains(columns["digest"])
        lost: set[bytes] = set()
        if gone.any():
            for path, is_gone in zip(encoded_texts(columns, "paths"), gone.tolist(), strict=True):
                (lost.add if is_gone else lost.discard)(path)  # the last row of a path counts
        return {path.decode("utf-8", "surrogatepass") for path in lost}

    def finish(self) -> None:
        """Replace the dataset's rows by this run's, or by those in force with them."""
        if self._adds:
            self._rows = RowColumns()
            self._rows.extend(self._segments.rows())
        older = list(self._segments.folder.glob(f"[0-9]*{SUFFIX}"))
        whole = self._whole() or self._segments.write(self._rows, _WHOLE)
        for path in older:
            if path != whole:
                # Windows deletes no file that somebody reads; the next run does.
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    path.unlink()

    def _whole(self) -> Path | None:
        """Return the segment of the last finished run if it holds just these rows, and is sound."""
        for path in self._segments.paths()[:1]:
            with contextlib.suppress(Damaged, FileNotFoundError):
                same = f"-{_WHOLE}-" in path.name and read_checksum(path) == checksum(
                    self._rows.arrays()
                )
                if same and path.stem.endswith(file_sha256(path)):
                    return path
        return None
