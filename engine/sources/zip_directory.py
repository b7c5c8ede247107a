"""What lists the files of a zip archive: read within limits, its names in their encoding."""

import io
import zipfile
from typing import IO

from engine.sources.archive import (
    MAX_EXPANSION,
    access_failure,
    check_count,
    damage_failure,
    expansion_limit,
    one_line,
)
from engine.sources.base import MAX_BYTES, Location, Unreadable
from engine.sources.opened import Opened, open_location
from engine.sources.zip_member import open_member
from engine.sources.zip_names import decode_names

# The list is in memory as a whole: a record of 46 bytes and a name for each file, of which
# `zipfile` makes some 700 bytes.
MAX_DIRECTORY_BYTES = 256 * 2**20
MAX_ZIP_MEMBERS = 2_000_000

_RECORD = b"PK\1\2"  # APPNOTE 4.3.12: each file's record begins so


class ZipDirectory:
    """An open zip archive, and its files.

    archive: as `zipfile` reads it. members: (name with `/`, file) of each file but folders, in the
    archive's order. guess: a line for what was guessed of the names; empty for nothing.
    stat: the archive's, see Source.
    """

    def __init__(self, path: Location) -> None:
        """Raise Failure for an archive that is damaged, too long or a decompression bomb."""
        try:
            self._opened = open_location(path)
        except OSError as error:
            raise access_failure(path, error) from error
        file = _Archive(self._opened)
        try:
            self.archive = zipfile.ZipFile(file)
            file.lists = False
            infos = self.archive.infolist()
            names, self.guess = decode_names(infos)
        except Unreadable:
            file.close()
            raise
        except Exception as error:  # the directory's damage can show as almost any
            file.close()
            check_count(path, file.records, MAX_ZIP_MEMBERS)
            raise damage_failure(path, one_line(error)) from error
        self._file = file
        self.stat = self._opened.stat
        pairs = zip(names, infos, strict=True)
        self.members = [(name, info) for name, info in pairs if not name.endswith("/")]
        if reason := _bomb(file.size, infos):
            self.close()
            raise damage_failure(path, reason)

    def open(self, member: zipfile.ZipInfo) -> IO[bytes] | zipfile.ZipExtFile:
        """Open a member for reading; any threads may. Raises as `zipfile` does, or Unreadable."""
        if self._opened.remote:
            return open_member(self._opened, member)
        return self.archive.open(member)

    def close(self) -> None:
        """Close the archive."""
        self.archive.close()
        self._file.close()


class _Archive(io.BufferedReader):
    """The file as `zipfile` reads it: all that lists the files at once, if it is not too much."""

    def __init__(self, opened: Opened) -> None:
        super().__init__(opened.raw, opened.ahead)
        self.size = opened.size
        self.lists = True
        self.records = 0

    def read(self, size: int | None = -1, /) -> bytes:
        if self.lists and size is not None and size > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"its list of files has over {MAX_DIRECTORY_BYTES >> 20} MiB")
        data = super().read(size)
        if self.lists:
            self.records = data.count(_RECORD)
            if self.records > MAX_ZIP_MEMBERS:
                raise zipfile.BadZipFile("too many files")
        return data


def _bomb(size: int, members: list[zipfile.ZipInfo]) -> str:
    """Return why an archive of `size` bytes is taken for a bomb; empty if it is not.

    Members that alone are too large are not counted: each is rejected by itself.
    """
    sane = [m for m in members if m.file_size <= MAX_BYTES and m.compress_size <= size]
    if sum(member.compress_size for member in sane) > size:
        return "its files overlap: a decompression bomb?"
    if sum(member.file_size for member in sane) > expansion_limit(size):
        return f"it expands more than {MAX_EXPANSION}-fold: a decompression bomb?"
    return ""
