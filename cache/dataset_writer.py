"""The rows of a run, on their way into a dataset."""

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from cache.files import Damaged
from cache.part import SUFFIX
from cache.row_files import RowColumns, checksum, encoded_texts, read_checksum
from cache.rows import STATUSES, Row
from cache.segment_kind import Kind, kind_of, names_its_bytes
from cache.segments import Segments
from cache.share import Share


class DatasetWriter:
    """Writes a run's rows: some at a time while it is under way, all when it is finished.

    Until it is finished its rows lie over those of the last finished run, path by path; then
    they replace them. Each call is durable on return. One thread's; any number of processes may
    each have one for the same dataset, and the last to finish is the one that counts.
    """

    def __init__(
        self, segments: Segments, *, adds: bool = False, share: Share | None = None
    ) -> None:
        """Begin a run. segments: with the marker that tells `gc` that features may be wanted.

        adds: whether the rows of earlier runs stay, but for those of the same paths. One process
            at a time may add to a dataset.
        share: the run has the samples of this share alone, and replaces no others' rows. Any
            shares may be written and finished at once.
        """
        self._segments, self._adds, self._share = segments, adds, share
        self._rows = RowColumns()

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows."""
        added = list(rows)
        self._segments.write(RowColumns(added), Kind(finished=False, share=self._share))
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
        """Replace the dataset's rows, or its share's, by this run's.

        Where it adds: by those in force with them.
        """
        if self._adds:
            self._rows = RowColumns()
            self._rows.extend(self._segments.rows())
        older = list(self._segments.folder.glob(f"[0-9]*{SUFFIX}"))
        kind = Kind(finished=True, share=self._share)
        finished = self._finished(kind) or self._segments.write(self._rows, kind)
        for path in older:
            if path != finished and (self._share is None or kind_of(path).share == self._share):
                # Windows deletes no file that somebody reads; the next run does.
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    path.unlink()

    def _finished(self, kind: Kind) -> Path | None:
        """Return the segment of the last finished run if it holds just these rows, and is sound.

        Of a share: unless others than its own runs have written rows after it.
        """
        paths = self._segments.paths()
        places = [place for place, path in enumerate(paths) if kind_of(path) == kind]
        if not places:
            return None
        path, share = paths[places[-1]], kind.share
        for later in paths[places[-1] + 1 :] if share else ():
            other = kind_of(later).share
            if other != share and not (share and share.is_apart(other)):
                return None
        with contextlib.suppress(Damaged, FileNotFoundError):
            same = read_checksum(path) == checksum(self._rows.arrays())
            if same and names_its_bytes(path):
                return path
        return None
