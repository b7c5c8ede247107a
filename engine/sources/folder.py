"""A folder of images, and those below it."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cache.commandline.printable import printable
from cache.failures import Failure
from cache.rows import Stat
from engine.sources.base import BY_ITSELF, Sample, Source, SourceOptions
from engine.sources.contents import contents
from engine.sources.file_stats import FileStats
from engine.sources.regular import file_size, read_file, read_first


class FolderSource(Source):
    """A folder. Links are followed, but each folder is visited once, under its own name if it has
    one here, else under that of the first link to it.

    Raises Failure if one of its folders cannot be listed.
    """

    def __init__(self, path: Path, options: SourceOptions = BY_ITSELF) -> None:
        self._stats, self._path, self._top = FileStats(), path, str(path)
        files = contents((name, partial(self._first, name)) for name in _walk(path))
        super().__init__(path, files.listing(options))

    def _first(self, name: str, most: int) -> bytes:
        return read_first(Path(self._top, name), most)

    def read(self, sample: Sample) -> bytes:
        """Return a file's bytes, see Source."""
        return read_file(self._path / sample.path)

    def size(self, sample: Sample) -> int | None:
        """Return a file's size, see Source."""
        return file_size(f"{self._top}/{sample.path}")

    def stat(self, sample: Sample) -> Stat | None:
        """Return a file's stat, see Source."""
        return self._stats.of(f"{self._top}/{sample.path}")

    def close(self) -> None:
        """Do nothing: no file stays open."""


def _walk(top: Path) -> Iterator[str]:
    """Yield the paths of all files below a folder, with `/`.

    Folders first, links to folders after all of them, so that no link takes a folder's place.
    """
    visited: set[tuple[int, int]] = set()
    folders, links = [(top, "")], list[tuple[Path, str]]()
    while folders or links:
        if not folders:
            links.sort(key=lambda link: link[1], reverse=True)
        folder, prefix = (folders or links).pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if not _is_folder(entry):
                        yield name
                    else:
                        pending = links if entry.is_symlink() else folders
                        pending.append((folder / entry.name, f"{name}/"))
        except OSError as error:
            shown = printable(str(folder))
            raise Failure(
                f"{shown} cannot be listed: {error.strerror}; make it readable"
            ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: a file that cannot be read
        return False
