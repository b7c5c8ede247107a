"""Where a table's paths count from, where that is not the table's own folder."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from engine.sources.table_rows import TableRow

# Rows that the folder of a table's images is told by.
_JUDGED = 20


class Files(Protocol):
    """The files that paths in a table stand for, where they count from a certain folder."""

    def is_there(self, name: str) -> bool:
        """Return whether a path leads to a file."""


_Files = TypeVar("_Files", bound=Files)


def holding(
    images: Sequence[TableRow], own: _Files, below: Callable[[], Iterable[_Files]]
) -> _Files:
    """Return the files of the one sub-folder where all of a table's first images are, else `own`.

    own: the files where paths count from the table's folder. below: gives those of its sub-folders;
        it is asked where none of the first images is in `own`.
    """
    names = [image.path for image in images[:_JUDGED]]
    if not names or any(map(own.is_there, names)):
        return own
    holders = [files for files in below() if all(map(files.is_there, names))]
    return holders[0] if len(holders) == 1 else own
