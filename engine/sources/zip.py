"""Zip archives, read in place: nothing is unpacked to disk, no link is followed."""

import stat
import zipfile
from functools import partial
from pathlib import Path

from engine.images.formats import HEAD_BYTES
from engine.sources.archive import check_count, check_path, damaged, one_line, unreadable
from engine.sources.base import Sample, Source, Unreadable, within_limit
from engine.sources.layout import is_sample, with_labels

_UNIX = 3  # APPNOTE 4.4.2: who made it; then the attributes hold a mode
_ENCRYPTED = 0x1  # APPNOTE 4.4.4, general purpose bit 0

# The ways of packing that `zipfile` reads with the standard library alone.
_METHODS = frozenset(
    {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
)


class ZipSource(Source):
    """A zip archive; `zipfile` lets several threads read at once.

    Of members with one name the last counts, as if the archive had been unpacked; the others are
    among `ignored`. Raises Failure for an archive that is damaged or too long.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except OSError as error:
            raise unreadable(path, error) from error
        except Exception as error:  # the directory's damage can show as almost any
            raise damaged(path, one_line(error)) from error
        try:
            files = [info for info in self._archive.infolist() if not _is_folder(info)]
            check_count(path, len(files))
            # Some Windows programs write `\\`; on Windows `zipfile` itself takes it for `/`.
            self._members = {info.filename.replace("\\", "/"): info for info in files}
            members = self._members.items()
            names = [name for name, info in members if is_sample(name, partial(self._head, info))]
        except BaseException:
            self._archive.close()
            raise
        super().__init__(path, with_labels(names), len(files) - len(names))

    def _head(self, member: zipfile.ZipInfo) -> bytes:
        try:
            return self._read(member, HEAD_BYTES)
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

    def _read(self, member: zipfile.ZipInfo, first: int) -> bytes:
        if member.flag_bits & _ENCRYPTED:
            raise Unreadable("encrypted; unpack the archive with its password")
        if member.compress_type not in _METHODS:
            raise Unreadable(f"packed by method {member.compress_type}, which cannot be read")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if member.create_system == _UNIX and kind not in (0, stat.S_IFREG):
            raise Unreadable("a link or a device, not a file")
        try:
            with self._archive.open(member) as file:
                return file.read(first)
        except MemoryError:
            raise Unreadable("too large for the memory there is") from None
        except Exception as error:  # zlib, lzma, struct, BadZipFile, ...: what damage can cause
            raise Unreadable(f"damaged in the archive: {one_line(error)}") from error

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()


def _is_folder(member: zipfile.ZipInfo) -> bool:
    return member.filename.endswith(("/", "\\"))
