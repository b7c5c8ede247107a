"""The rows of a dataset taken out of a cache; its features stay until gc."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cache.failures import Failure
from cache.files import TEMPORARY, Damaged, sync_folder
from cache.maintenance import maintenance
from cache.segments import Segments, segments_of
from cache.space import Space
from cache.store import FeatureCache

# Seconds without a new row after which no run is under way: a run writes some every few seconds.
_QUIET_SECONDS = 60.0


@dataclass(frozen=True)
class Forgotten:
    """A dataset's rows, and the spaces that have some."""

    dataset: str
    rows: int
    spaces: Sequence[str]


def count_rows(cache: FeatureCache, dataset: str) -> Forgotten:
    """Return what `forget` would take away. Rows that are damaged are not counted."""
    spaces = [space for space in cache.spaces() if dataset in space.datasets()]
    return Forgotten(dataset, sum(_rows(s, dataset) for s in spaces), [s.id for s in spaces])


def forget(cache: FeatureCache, dataset: str) -> Forgotten:
    """Take away the rows of a dataset in every space. The features stay; `gc` finds the unused.

    Killed at any moment, each space has all of the rows or none.

    Raises:
        Failure: an extraction of it is under way, or another compact, merge or gc.
    """
    with maintenance(cache.path):
        counted = count_rows(cache, dataset)
        folders = [segments_of(cache.path / "spaces" / id_, dataset) for id_ in counted.spaces]
        for segments in folders:
            _refuse_run_under_way(segments)
        for segments in folders:
            _remove(segments)
    return counted


def _rows(space: Space, dataset: str) -> int:
    with contextlib.suppress(Damaged):
        return len(space.rows([dataset]))
    return 0


def _refuse_run_under_way(segments: Segments) -> None:
    for path in segments.partial():
        with contextlib.suppress(FileNotFoundError):
            if abs(time.time() - path.stat().st_mtime) < _QUIET_SECONDS:
                raise Failure(
                    f"an extraction of {segments.name} is under way, or ended just now before it "
                    f"was finished; wait for {_QUIET_SECONDS:.0f} s"
                )


def _remove(segments: Segments) -> None:
    """Hide the name first: without it the folder is no dataset, and gc finds what a kill left."""
    hidden = segments.folder / f"{TEMPORARY}{segments.record.name}"
    with contextlib.suppress(FileNotFoundError):
        segments.record.replace(hidden)
    sync_folder(segments.folder)
    for path in segments.folder.iterdir():
        if path != hidden:  # which goes last: it says that the rows are not lost
            with contextlib.suppress(FileNotFoundError, PermissionError):
                path.unlink()  # Windows deletes no file that somebody reads
    with contextlib.suppress(OSError):
        if list(segments.folder.iterdir()) == [hidden]:
            hidden.unlink()
        segments.folder.rmdir()
