"""An archive or table opened for reading, wherever it is."""

import io
import os
from dataclasses import dataclass

from cache.files import open_file
from cache.rows import Stat
from engine.sources.base import Location, Unreadable
from engine.sources.file_stats import FileStats
from engine.sources.remote.address import RemotePath
from engine.sources.remote.listing import stat_of
from engine.sources.remote.reading import AHEAD_BYTES, RemoteFile, describe


@dataclass(frozen=True)
class Opened:
    """An open file.

    raw: it, unbuffered. ahead: how many bytes are best read at once. stat: see Source.
    """

    raw: io.RawIOBase
    size: int
    stat: Stat | None
    ahead: int = io.DEFAULT_BUFFER_SIZE

    @property
    def remote(self) -> bool:
        """Whether each read is a request to a server."""
        return isinstance(self.raw, RemoteFile)

    def part(self, start: int, size: int) -> bytes:
        """Return bytes of a remote file; any threads may ask at once. See `read_range`."""
        assert isinstance(self.raw, RemoteFile)
        return self.raw.part(start, size)


def open_location(location: Location) -> Opened:
    """Open a file for reading, without waiting for anything on this machine.

    Raises:
        OSError: there is none, it may not be read, or it is no regular file.
        ValueError: a NUL in the name.
        Unreadable: its server does not answer, or does not say how large it is.
    """
    if isinstance(location, RemotePath):
        told = describe(location)
        if not isinstance(size := told.get("size"), int):
            raise Unreadable("cannot be read: its server does not say how large it is; download it")
        return Opened(RemoteFile(location, size), size, stat_of(told), AHEAD_BYTES)
    raw = open_file(location)
    descriptor = raw.fileno()
    return Opened(raw, os.fstat(descriptor).st_size, FileStats().of_open(location, descriptor))


def open_buffered(location: Location) -> io.BufferedReader:
    """Open a file as `open_location` does, buffered."""
    opened = open_location(location)
    return io.BufferedReader(opened.raw, opened.ahead)
