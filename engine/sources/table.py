"""A table that lists images by their paths, with their labels and splits."""

import os
from pathlib import Path

from cache.commandline.printable import printable
from cache.failures import Failure
from cache.rows import Stat
from engine.images.formats import EXTENSIONS, has_image_name
from engine.sources.base import (
    BY_ITSELF,
    Location,
    Sample,
    Source,
    SourceOptions,
    Unreadable,
)
from engine.sources.dialect import Rows
from engine.sources.file_stats import FileStats
from engine.sources.regular import file_size, read_file
from engine.sources.table_folder import holding
from engine.sources.table_rows import table_listing, table_rows

# Folders that are looked through for a table's images.
_FOLDERS = 100


class TableSource(Source):
    """A table with a row for each image; relative paths count from the table's folder.

    Each row is a sample; one with an empty label has none. Where none of the paths is there, they
    count from the one sub-folder where all of them are. An extension that is left off is found.
    Raises Failure, with the line, for a table that says less or contradicts itself.
    """

    def __init__(
        self, path: Location, base: Path, rows: Rows, options: SourceOptions = BY_ITSELF
    ) -> None:
        """path: of the table. base: where its paths count from. rows: what it says."""
        self._stats = FileStats()
        images, lines = table_rows(rows, options)
        self._files = _Files(base)
        if options.base is not None:
            if not base.is_dir():
                raise Failure(f"there is no folder {printable(options.base)} for the images")
        else:
            self._files = holding(images, self._files, lambda: _files_below(base))
        if self.base != base:
            lines.append(f"the paths count from the folder {printable(self.base.name)}")
        samples, self._faults = table_listing(images, lines, options)
        super().__init__(path, samples)

    @property
    def base(self) -> Path:
        """The folder that relative paths count from."""
        return self._files.base

    @property
    def advice(self) -> str:
        """Where the paths count from, see Source."""
        return f"paths count from the folder {printable(str(self.base))}, unless another is given"

    def read(self, sample: Sample) -> bytes:
        """Return a file's bytes, see Source."""
        if fault := self._faults.get(sample.path):
            raise Unreadable(fault)
        return read_file(self._files.path(sample.path))

    def size(self, sample: Sample) -> int | None:
        """Return the size of the file that a row names, see Source."""
        return None if sample.path in self._faults else file_size(self._files.path(sample.path))

    def is_there(self, sample: Sample) -> bool:
        """Tell whether the file that a row names is there, see Source."""
        return sample.path in self._faults or self._files.is_there(sample.path)

    def stat(self, sample: Sample) -> Stat | None:
        """Return the stat of the file that a row names, see Source."""
        return self._stats.of(self._files.path(sample.path))

    def close(self) -> None:
        """Do nothing: no file stays open."""


class _Files:
    """The files that paths in a table stand for. Any threads may use it.

    base: the folder that they count from.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self._names: dict[Path, dict[str, str]] = {}

    def path(self, name: str) -> Path:
        """Return the file of a path; with its extension, where an image has it and `name` not."""
        path = self.base / name
        if has_image_name(name):
            return path
        if path.parent not in self._names:
            self._names[path.parent] = _names_by_stem(path.parent)
        names = self._names[path.parent]
        return path.with_name(names[path.name]) if path.name in names else path

    def is_there(self, name: str) -> bool:
        """Return whether a path leads to a file."""
        try:
            return self.path(name).is_file()
        except (OSError, ValueError):
            return False


def _names_by_stem(folder: Path) -> dict[str, str]:
    """Return the names of images in a folder by what they are without extension."""
    try:
        paths = sorted(folder.iterdir())
    except (OSError, ValueError):
        return {}
    return {path.stem: path.name for path in paths if path.suffix.lower() in EXTENSIONS}


def _files_below(folder: Path) -> list[_Files]:
    try:
        with os.scandir(folder) as entries:
            folders = [Path(entry.path) for entry in entries if entry.is_dir()]
    except OSError:
        return []
    return [_Files(each) for each in sorted(folders)[:_FOLDERS]]
