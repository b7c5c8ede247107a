"""Zip archives, read in place: nothing is unpacked to disk, no link is followed."""

import stat
import zipfile
from functools import partial

from cache.rows import Stat
from engine.sources.archive import check_path, one_line
from engine.sources.base import (
    BY_ITSELF,
    Location,
    Sample,
    Source,
    SourceOptions,
    Unreadable,
    within_limit,
)
from engine.sources.contents import contents
from engine.sources.layout import REPLACED
from engine.sources.remote.address import RemotePath
from engine.sources.zip_directory import ZipDirectory

_UNIX = 3  # APPNOTE 4.4.2: who made it; then the attributes hold a mode
_ENCRYPTED = 0x1  # APPNOTE 4.4.4, general purpose bit 0

# The ways of packing that `zipfile` reads with the standard library alone.
_METHODS = frozenset(
    {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
)


class ZipSource(Source):
    """A zip archive; `zipfile` lets several threads read at once.

    Of members with one name the last counts, as if the archive had been unpacked; the others are
    among `ignored`. Raises Failure for an archive that is damaged, too long or a bomb.
    """

    def __init__(self, path: Location, options: SourceOptions = BY_ITSELF) -> None:
        self._directory = ZipDirectory(path)
        self.remote = isinstance(path, RemotePath)
        try:
            self._members = dict(self._directory.members)
            files = contents((name, partial(self._first, i)) for name, i in self._members.items())
            if replaced := len(self._directory.members) - len(self._members):
                files.ignored_kinds[REPLACED] = replaced
            guess = self._directory.guess
            super().__init__(path, files.listing(options, [guess] if guess else []))
        except BaseException:
            self._directory.close()
            raise

    def _first(self, member: zipfile.ZipInfo, most: int) -> bytes:
        try:
            return self._read(member, most)
        except Unreadable:
            return b""

    def read(self, sample: Sample) -> bytes:
        """Return a member's bytes, see Source."""
        check_path(sample.path)
        member = self._members[sample.path]
        within_limit(member.file_size)
        data = self._read(member, member.file_size + 1)
        if len(data) != member.file_size:
            raise Unreadable("cut short in the archive")
        return data

    def _read(self, member: zipfile.ZipInfo, most: int) -> bytes:
        if member.flag_bits & _ENCRYPTED:
            raise Unreadable("encrypted; unpack the archive with its password")
        if member.compress_type not in _METHODS:
            raise Unreadable(f"packed by method {member.compress_type}, which cannot be read")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if member.create_system == _UNIX and kind not in (0, stat.S_IFREG):
            raise Unreadable("a link or a device, not a file")
        try:
            with self._directory.open(member) as file:
                return file.read(most)
        except Unreadable:
            raise
        except MemoryError:
            raise Unreadable("too large for the memory there is") from None
        except Exception as error:  # zlib, lzma, struct, BadZipFile, ...: what damage can cause
            raise Unreadable(f"damaged in the archive: {one_line(error)}") from error

    def size(self, sample: Sample) -> int | None:
        """Return the size that the archive says, see Source."""
        return self._members[sample.path].file_size

    def stat(self, sample: Sample) -> Stat | None:
        """Return the archive's stat, see Source."""
        del sample
        return self._directory.stat

    def close(self) -> None:
        """Close the archive."""
        self._directory.close()
