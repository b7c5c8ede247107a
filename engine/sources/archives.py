"""Sources that are archives, read in place: nothing is unpacked to disk, no link is followed."""

import stat
import zipfile
from functools import partial
from pathlib import Path

from cache.commandline.printable import printable
from cache.failures import Failure
from engine.images.formats import HEAD_BYTES
from engine.sources.base import Sample, Source, Unreadable, within_limit
from engine.sources.layout import climbs, is_sample, labelled
from engine.sources.tar import DamagedTar, Member, TarFile

# An archive that lists more files than this is refused.
MAX_MEMBERS = 5_000_000

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
            raise _unreadable(path, error) from error
        except Exception as error:  # the directory's damage can show as almost any
            raise _damaged(path, _one_line(error)) from error
        try:
            files = [info for info in self._archive.infolist() if not _is_folder(info)]
            _check_count(path, len(files))
            # Some Windows programs write `\\`; on Windows `zipfile` itself takes it for `/`.
            self._members = {info.filename.replace("\\", "/"): info for info in files}
            members = self._members.items()
            names = [name for name, info in members if is_sample(name, partial(self._head, info))]
        except BaseException:
            self._archive.close()
            raise
        super().__init__(path, labelled(names), len(files) - len(names))

    def _head(self, member: zipfile.ZipInfo) -> bytes:
        try:
            return self._read(member, HEAD_BYTES)
        except Unreadable:
            return b""

    def read(self, sample: Sample) -> bytes:
        """Return a member's bytes, see Source."""
        _check_path(sample.path)
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
            raise Unreadable(f"damaged in the archive: {_one_line(error)}") from error

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()


def _is_folder(member: zipfile.ZipInfo) -> bool:
    return member.filename.endswith(("/", "\\"))


class TarSource(Source):
    """A tar archive, plain or packed by gzip, bzip2 or xz.

    A packed one cannot be entered in the middle: it is read once to be listed, and once more, in
    its order, for the images. Of members with one name the last counts, as if the archive had been
    unpacked; the others are among `ignored`. Raises Failure for an archive that is damaged, cut
    short, too long or a decompression bomb.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._archive = TarFile(path)
        except OSError as error:
            raise _unreadable(path, error) from error
        try:
            self._members, files = self._listed(path)
        except BaseException:
            self._archive.close()
            raise
        self.sequential = self._archive.packed
        samples = labelled(self._members)
        if self.sequential:
            samples.sort(key=lambda sample: self._members[sample.path].start)
        super().__init__(path, samples, files - len(samples))

    def _listed(self, path: Path) -> tuple[dict[str, Member], int]:
        """Return the images by their paths, and how many files there are."""
        members: dict[str, Member] = {}
        files = 0
        try:
            for name, member, head in self._archive.members():
                files += 1
                _check_count(path, files)
                members.pop(name, None)
                if is_sample(name, head):
                    members[name] = member
        except DamagedTar as error:
            raise _damaged(path, str(error)) from error
        return members, files

    def read(self, sample: Sample) -> bytes:
        """Return a member's bytes, see Source."""
        member = self._members[sample.path]
        _check_path(sample.path)
        if member.fault:
            raise Unreadable(member.fault)
        within_limit(member.size)
        try:
            return self._archive.read(member)
        except DamagedTar as error:
            raise Unreadable(f"damaged in the archive: {error}") from error

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()


def _check_path(path: str) -> None:
    if climbs(path):
        raise Unreadable("its path leads out of the archive")


def _check_count(path: Path, members: int) -> None:
    if members > MAX_MEMBERS:
        raise Failure(f"{printable(str(path))} lists over {MAX_MEMBERS:,} files; split it")


def _damaged(path: Path, reason: str) -> Failure:
    return Failure(
        f"{printable(str(path))} is no sound archive: {printable(reason)}; "
        "get it again, or unpack it and give the folder"
    )


def _unreadable(path: Path, error: OSError) -> Failure:
    return Failure(f"{printable(str(path))} cannot be read: {error.strerror or error}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
