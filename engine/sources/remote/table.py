"""A table whose images are on another file system."""

import posixpath
import threading
from typing import Any

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
from engine.sources.remote.address import RemotePath
from engine.sources.remote.listing import children, stat_of
from engine.sources.remote.reading import read_object
from engine.sources.table_folder import holding
from engine.sources.table_rows import table_listing, table_rows

# Folders that are looked through for a table's images.
_FOLDERS = 20


class RemoteTable(Source):
    """A table with a row for each image; paths count from a folder of another file system.

    As of `TableSource`: where none of the first paths is there, they count from the one sub-folder
    where all of them are, and an extension that is left off is found. Raises Failure as it does.
    """

    remote = True

    def __init__(
        self, path: Location, base: RemotePath, rows: Rows, options: SourceOptions = BY_ITSELF
    ) -> None:
        """path: of the table. base: where its paths count from."""
        images, lines = table_rows(rows, options)
        self._files = _Files(base)
        if options.base is None:
            self._files = holding(images, self._files, lambda: _files_below(base))
        if self.base != base:
            lines.append(f"the paths count from the folder {self.base.name}")
        samples, self._faults = table_listing(images, lines, options)
        super().__init__(path, samples)

    @property
    def base(self) -> RemotePath:
        """The folder that paths count from."""
        return self._files.base

    @property
    def advice(self) -> str:
        """Where the paths count from, see Source."""
        return f"paths count from the folder {self.base}, unless another is given"

    def read(self, sample: Sample) -> bytes:
        """Return a file's bytes, see Source."""
        if fault := self._faults.get(sample.path):
            raise Unreadable(fault)
        return read_object(self._files.place(sample.path))

    def size(self, sample: Sample) -> int | None:
        """Return the size that the listing says, or what is read has, see Source."""
        stat = None if sample.path in self._faults else self.stat(sample)
        return stat.size if stat else super().size(sample)

    def stat(self, sample: Sample) -> Stat | None:
        """Return what the listing of its folder says of a file, see Source."""
        return self._files.stat(sample.path)

    def close(self) -> None:
        """Do nothing: no file stays open."""


class _Files:
    """The files that paths in a table stand for. Any threads may use it.

    Each folder is listed once, at most: that is fewer requests than one for each file.
    """

    def __init__(self, base: RemotePath) -> None:
        self.base = base
        self._lock = threading.Lock()
        self._folders: dict[str, dict[str, Stat | None]] = {}

    def place(self, name: str) -> RemotePath:
        """Return where a path leads, with its extension where an image has it and `name` not.

        Raises:
            Unreadable: out of the file system, or to no place in it.
        """
        if not has_image_name(name):
            name = self._with_extension(name)
        return self.base / name if ".." not in name.split("/") else self._above(name)

    def stat(self, name: str) -> Stat | None:
        """Return a file's stat; None where its folder does not tell."""
        if self.base.is_web:
            return None  # a page of links says nothing of what they lead to
        try:
            place = self.place(name)
            return self._folder(place.parent).get(place.name)
        except Unreadable:
            return None

    def is_there(self, name: str) -> bool:
        """Return whether a path leads to a file."""
        try:
            place = self.place(name)
            return place.name in self._folder(place.parent)
        except Unreadable:
            return False

    def _above(self, name: str) -> RemotePath:
        """Return where a path with `..` leads."""
        normal, place = posixpath.normpath(name), self.base
        while normal == ".." or normal.startswith("../"):
            if len(place.parts) < 2:  # a bucket, or a server's first folder, has nothing above
                raise Unreadable("its path leads out of the file system")
            place, normal = place.parent, normal[3:]
        return place / normal

    def _with_extension(self, name: str) -> str:
        folder, _, stem = name.rpartition("/")
        place = self.base / folder if folder else self.base
        for other in sorted(self._folder(place)):
            head, dot, suffix = other.rpartition(".")
            if head == stem and f"{dot}{suffix}".lower() in EXTENSIONS:
                return f"{folder}/{other}" if folder else other
        return name

    def _folder(self, place: RemotePath) -> dict[str, Stat | None]:
        with self._lock:
            if place.key not in self._folders:
                files = children(place)
                self._folders[place.key] = {
                    name: stat_of(told) for name, told in files if told["type"] != "directory"
                }
            return self._folders[place.key]

    def __getstate__(self) -> dict[str, Any]:
        return {"base": self.base}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["base"])  # type: ignore[misc]


def _files_below(base: RemotePath) -> list[_Files]:
    folders = [base / name for name, told in children(base) if told["type"] == "directory"]
    return [_Files(folder) for folder in sorted(folders, key=str)[:_FOLDERS]]
