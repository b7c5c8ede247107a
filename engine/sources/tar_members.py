"""Tar archives: their members listed once, then read at their places.

`tarfile` parses the headers; what it trusts too much is bounded here, for an archive may come from
a stranger: sizes of headers, negative sizes, malformed attributes, how far a packed one expands.
"""

import bz2
import gzip
import io
import lzma
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO, cast

from engine.sources.archive import MAX_EXPANSION, expansion_limit
from engine.sources.base import Location, Unreadable
from engine.sources.opened import open_location
from engine.sources.pax import fault_of

# Bytes of a header, with the long names, attributes and sparse maps that come with it, and how
# many attributes may hold for the whole archive: `tarfile` goes through them for each member.
MAX_HEADER_BYTES = 2**20
MAX_GLOBALS = 1000

_PACKED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open))

# Where the header of a tar archive says so, and what (POSIX and GNU alike).
_MAGIC_AT, _MAGIC = 257, b"ustar"


class DamagedTar(Exception):
    """The archive is no tar archive, damaged, cut short or a bomb; the message says which."""


@dataclass(frozen=True)
class Member:
    """A file of an archive: where its bytes are, or the fault that keeps them from being read."""

    start: int
    size: int
    fault: str


def looks_like_tar(head: bytes) -> bool:
    """Return whether a file's first 512 bytes are those of a tar archive, or are packed."""
    return head[_MAGIC_AT:].startswith(_MAGIC) or is_packed(head)


def is_packed(head: bytes) -> bool:
    """Return whether a file's first bytes are those of a packed one, which has one order alone."""
    return any(head.startswith(magic) for magic, _ in _PACKED)


class TarFile:
    """An open tar archive. `members` once, first; then `read`, by any thread.

    packed: whether reading backwards means to read from the beginning. stat: see Source.
    """

    def __init__(self, path: Location) -> None:
        self._opened = open_location(path)
        self._raw = io.BufferedReader(self._opened.raw, self._opened.ahead)
        unpack = [unpack for magic, unpack in _PACKED if self._raw.peek(6).startswith(magic)]
        self.packed = bool(unpack)
        self._file = cast("IO[bytes]", unpack[0](self._raw) if unpack else self._raw)
        self.stat = self._opened.stat
        limit = expansion_limit(self._opened.size)
        self._stream = _Stream(self._file, limit if self.packed else None)
        self._lock = threading.Lock()

    def members(self) -> Iterator[tuple[str, Member, Callable[[int], bytes]]]:
        """Yield path, place and a way to get so many bytes (at once) of all that is no folder.

        Raises:
            DamagedTar: see there.
        """
        with _damage():
            yield from self._list()
            self._check_end()

    def _list(self) -> Iterator[tuple[str, Member, Callable[[int], bytes]]]:
        archive = tarfile.TarFile(
            fileobj=cast("IO[bytes]", self._stream),
            tarinfo=_Info,
            encoding="utf-8",
            errors="surrogateescape",
        )
        last = -1
        while (info := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # else it keeps them all
            self._stream.spent = 0
            if info.size < 0 or info.offset <= last:
                raise DamagedTar("a header with an impossible size")
            if len(archive.pax_headers) > MAX_GLOBALS:
                raise DamagedTar(f"more than {MAX_GLOBALS} attributes of the whole")
            last = info.offset
            if not info.isdir():
                member = Member(info.offset_data, info.size, _fault(info))
                yield info.name.removeprefix("./"), member, partial(self._first, member)

    def _first(self, member: Member, most: int) -> bytes:
        if member.fault:
            return b""
        with _damage():  # for this runs in the caller, not in `members`
            return self._stream.data(member.start, min(most, member.size))

    def _check_end(self) -> None:
        """Raise DamagedTar unless the listing stopped at the end: `tarfile` stops at damage too."""
        if any(self._stream.last):
            raise DamagedTar("a damaged header")
        if len(self._stream.last) != tarfile.BLOCKSIZE:
            raise DamagedTar("cut short: the end mark is missing")
        if self.packed:  # what follows are zeros, and the checksum of everything
            self._stream.spent = 0
            while self._stream.read(tarfile.RECORDSIZE):
                self._stream.spent = 0

    def read(self, member: Member) -> bytes:
        """Return a member's bytes.

        Raises:
            DamagedTar: they are not all there, or do not unpack.
            Unreadable: they cannot be had.
        """
        with _damage():
            if self._opened.remote and not self.packed:
                data = self._opened.part(member.start, member.size)
            else:
                with self._lock:
                    self._file.seek(member.start)
                    data = self._file.read(member.size)
        if len(data) != member.size:
            raise DamagedTar("cut short")
        return data

    def close(self) -> None:
        """Close the archive."""
        self._file.close()
        self._raw.close()


@contextmanager
def _damage() -> Iterator[None]:
    """Turn what damage makes `tarfile` and the decompressors raise into DamagedTar."""
    try:
        yield
    except (DamagedTar, Unreadable):
        raise
    except Exception as error:  # TarError, zlib.error, LZMAError, EOFError, RecursionError, ...
        raise DamagedTar(" ".join(str(error).split()) or type(error).__name__) from error


def _fault(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return "a link, which is not followed"
    if info.issparse():
        return "stored as a sparse file, which is not supported"
    return "" if info.isreg() else "a device or a pipe, not a file"


class _Info(tarfile.TarInfo):
    """A header that says when the next thing read is a body of attributes."""

    def _proc_pax(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        # A private hook: Pythons that may lose it have the linear parser already.
        stream: _Stream = archive.fileobj  # type: ignore[assignment]
        stream.attributes_next = True
        return super()._proc_pax(archive)  # type: ignore[misc,no-any-return]


class _Stream:
    """What `tarfile` reads from: bounded, and remembering the block that it read last.

    limit: the position that is not passed.
    spent: how much was read for the header in hand; set to 0 before the next.
    attributes_next: what is read next is a body of attributes.
    """

    def __init__(self, file: IO[bytes], limit: int | None) -> None:
        self._file = file
        self._limit = limit
        self.last = b""
        self.spent = 0
        self.attributes_next = False

    def read(self, size: int) -> bytes:
        if size < 0 or (spent := self.spent + size) > MAX_HEADER_BYTES:
            raise DamagedTar("a header of an impossible size")
        self.spent = spent
        self._check(self._file.tell() + size)
        self.last = self._file.read(size)
        if self.attributes_next:
            self.attributes_next = False
            if fault := fault_of(self.last):
                raise DamagedTar(fault)
        return self.last

    def data(self, position: int, size: int) -> bytes:
        """Return bytes that belong to no header."""
        self._check(position + size)
        self._file.seek(position)
        return self._file.read(size)

    def seek(self, position: int) -> int:
        self._check(position)
        return self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()

    def _check(self, position: int) -> None:
        if position < 0:
            raise DamagedTar("a header with an impossible size")
        if self._limit is not None and position > self._limit + MAX_HEADER_BYTES:
            raise DamagedTar(f"expands more than {MAX_EXPANSION}-fold: a decompression bomb?")
