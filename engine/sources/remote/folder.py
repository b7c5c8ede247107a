"""A folder of another file system, and those below it."""

from functools import partial
from typing import Any

from cache.rows import Stat
from engine.images.formats import HEAD_BYTES
from engine.sources.base import BY_ITSELF, Sample, Source, SourceOptions, Unreadable
from engine.sources.contents import contents
from engine.sources.remote.address import RemotePath
from engine.sources.remote.listing import stat_of, walk
from engine.sources.remote.reading import read_object, read_range


class RemoteFolder(Source):
    """A folder of an object store, of Hadoop or of a web server that lists its files.

    A name with a suffix tells by itself whether it is an image: to look into each other file would
    be a request each. Raises Failure if it cannot be listed.
    """

    remote = True

    def __init__(self, place: RemotePath, options: SourceOptions = BY_ITSELF) -> None:
        self._place = place
        self._stats: dict[str, Stat] = {}
        self._sizes: dict[str, int] = {}
        files = contents((name, partial(self._first, name)) for name in self._names())
        super().__init__(place, files.listing(options))

    def _names(self) -> Any:
        for name, told in walk(self._place):
            if stat := stat_of(told):
                self._stats[name] = stat
            elif told.get("size") == 0:
                self._sizes[name] = 0
            yield name

    def _first(self, name: str, most: int) -> bytes:
        if most <= HEAD_BYTES and name.rpartition("/")[2].rpartition(".")[0]:
            return b""
        if self._size(name) == 0:
            return b""
        try:
            return read_range(self._place / name, 0, most)
        except Unreadable:
            return b""

    def _size(self, name: str) -> int | None:
        stat = self._stats.get(name)
        return stat.size if stat else self._sizes.get(name)

    def read(self, sample: Sample) -> bytes:
        """Return a file's bytes, see Source."""
        return read_object(self._place / sample.path, self._size(sample.path))

    def size(self, sample: Sample) -> int | None:
        """Return the size that the listing says, or what is read has, see Source."""
        known = self._size(sample.path)
        return super().size(sample) if known is None else known

    def stat(self, sample: Sample) -> Stat | None:
        """Return what the listing said of a file, see Source."""
        return self._stats.get(sample.path)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is known of each file: workers are told of a few at a time."""
        return {**self.__dict__, "_stats": {}, "_sizes": {}}

    def close(self) -> None:
        """Do nothing: no file stays open."""
