"""A folder of images, and those below it."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cache.commandline.printable import printable
from cache.failures import Failure
from engine.sources.base import Sample, Source
from engine.sources.layout import is_sample, with_labels
from engine.sources.regular import read_file, read_head

_Identity = tuple[int, int]


class FolderSource(Source):
    """A folder. Links are followed, but for those that lead back to a folder they lie in.

    Raises Failure if one of its folders cannot be listed.
    """

    def __init__(self, path: Path) -> None:
        names, ignored = [], 0
        for name in _walk(path):
            if is_sample(name, partial(read_head, path / name)):
                names.append(name)
            else:
                ignored += 1
        super().__init__(path, with_labels(names), ignored)

    def read(self, sample: Sample) -> bytes:
        """Return a file's bytes, see Source."""
        return read_file(self.location / sample.path)

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
