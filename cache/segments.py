"""The rows of a dataset (one source) on disk: those of a finished run, and what a run adds.

Folder `datasets/KEY` of a space, KEY the first 16 hexadecimal digits of the SHA-256 of the
dataset's name; in it `dataset.json` with the name and what leads to its images beside it (its
origin), and segments NUMBER-KIND-SHA256.h5, each a file of `cache.row_files` named by its bytes'
SHA-256. KIND `whole` holds all rows of a finished run and takes the place of all before it; `rows`
holds some of a run under way, and lies over them.
`whole_I_N` and `rows_I_N` are those of a run over the share I of N: what it finishes takes the
place of the rows of its share alone. So the shares of a dataset need no lock between them, which
many clusters' file systems do not have.
"""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.failures import Failure
from cache.files import Damaged, refuse_links, write_whole
from cache.known_files import KnownFiles
from cache.part import SUFFIX
from cache.record import read_record, write_record
from cache.row_files import (
    RowColumns,
    label_counts,
    read_columns,
    read_rows,
    rows_bytes,
)
from cache.rows import Row, overlay
from cache.segment_kind import Kind, kind_of
from cache.share import Share

_NAME = "dataset.json"

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

    def origin(self) -> dict[str, str]:
        """Return what a program keeps of where the rows are from; nothing where that is lost."""
        with contextlib.suppress(Damaged, FileNotFoundError):
            kept = read_record(self.record, "dataset").get("origin")
            if isinstance(kept, dict):
                return {key: value for key, value in kept.items() if isinstance(value, str)}
        return {}

    def paths(self) -> list[Path]:
        """Return the segments that have rows in force, oldest first."""
        paths = sorted(self.folder.glob(f"[0-9]*{SUFFIX}"))
        whole = [number for number, path in enumerate(paths) if kind_of(path) == Kind(True)]
        return paths[whole[-1] :] if whole else paths

    def partial(self) -> list[Path]:
        """Return the segments of runs that are not finished: under way, or killed."""
        paths = self.folder.glob(f"[0-9]*{SUFFIX}")
        return [path for path in paths if not kind_of(path).finished]

    def is_complete(self) -> bool:
        """Tell whether no segment has gone.

        Each run writes one when it begins, and none goes before a finished run has written a
        whole one: without such a one they are numbered from 1 on. Of a share that was finished
        the others' numbers say nothing.
        """
        for _ in range(_ATTEMPTS):  # a run may finish while they are listed
            numbers = sorted({int(path.name.split("-", 1)[0]) for path in self.paths()})
            whole = any(kind_of(path).finished for path in self.paths())
            if whole or (numbers and numbers == list(range(1, len(numbers) + 1))):
                return True
        return not self.record.exists()

    def rows(self) -> list[Row]:
        """Return the rows in force. Raises Damaged if they are not what was written."""
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                return list(overlay(self._in_force(self.paths())))
        raise Failure(f"the rows of {self.name} change all the time; try again later")

    def label_counts(self) -> Counter[str | None]:
        """Return how many rows in force have each label, or none. Raises as `rows` does.

        Of a finished run without a row in memory: there may be millions.
        """
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                paths = self.paths()
                if len(paths) == 1:
                    return label_counts(read_columns(paths[0]))
                return Counter(row.label for row in self.rows())
        raise Failure(f"the rows of {self.name} change all the time; try again later")

    def _in_force(self, paths: list[Path]) -> Iterator[list[Row]]:
        """Yield the rows of segments, but for those whose share a later run has finished."""
        kinds = [kind_of(path) for path in paths]
        for place, path in enumerate(paths):
            later = {kind.share for kind in kinds[place + 1 :] if kind.finished and kind.share}
            shares = [share for share in later if not share.is_apart(kinds[place].share)]
            rows = self._read(path)
            if shares:
                rows = [r for r in rows if not any(share.holds(r.path) for share in shares)]
            yield rows

    def _read(self, path: Path) -> list[Row]:
        try:
            return read_rows(path)
        except Damaged as damage:
            raise Damaged(f"{damage}; run the extraction of {self.name} again") from damage

    def known_files(self, share: Share | None = None) -> KnownFiles:
        """Return which files need not be read again; of a share, at least its own.

        What another process finishes or removes meanwhile, or is damaged, is left out: such files
        are read, and no more.
        """
        paths = self.paths()
        if share is not None:
            paths = [path for path in paths if not share.is_apart(kind_of(path).share)]
        return KnownFiles(columns for path in paths if (columns := _sound_columns(path)))

    def write(self, rows: RowColumns, kind: Kind) -> Path:
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


def begin_segments(
    space: Path,
    name: str,
    share: Share | None = None,
    origin: Mapping[str, str] | None = None,
) -> Segments:
    """Return a dataset's segments in the folder of a space, made where it is missing.

    A dataset that has its name has a segment: the marker of the run comes first.
    origin: takes the place of the one that is kept; None leaves it.
    """
    segments = segments_of(space, name)
    refuse_links(segments.folder)
    segments.folder.mkdir(parents=True, exist_ok=True)
    segments.write(RowColumns(), Kind(finished=False, share=share))
    try:
        read_segments(segments.folder)
        sound = origin is None or segments.origin() == origin
    except (Damaged, FileNotFoundError):
        sound = False
    if not sound:
        fields = {"name": name, **({"origin": dict(origin)} if origin else {})}
        write_record(segments.record, "dataset", fields)
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
