"""Where images come from: a folder, a zip or tar archive, a CSV -> samples.

A sub-folder is a class, and what lies deeper below it belongs to it. A single outer folder
(`PetImages/`) is looked through. Images that lie in no sub-folder have no label.
"""

import csv
import os
import tarfile
import threading
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType

from cache.failures import Failure
from cache.printable import printable

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff"}
)

# The largest file that is taken for an encoded image. Reading stops there: a zip or tar member
# may claim, or unpack to, any size.
MAX_BYTES = 512 * 2**20

# First bytes of the formats of `engine.images`.
_SIGNATURES = (
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*",
)  # fmt: skip


class Unreadable(Exception):
    """The bytes of one sample cannot be had; `reason` says why, in a line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Sample:
    """One image of a source: its path inside it, with `/`, and its label."""

    path: str
    label: str | None


class Source(ABC):
    """Samples, and how to read their bytes. A context manager.

    samples: in an order that is the same on every platform.
    ignored: how many files are no images by content and by name.
    sequential: whether reads must come in the order of `samples`, from one thread. Otherwise any
        threads may read at once.
    """

    sequential = False

    def __init__(self, samples: list[Sample], ignored: int) -> None:
        self.samples = samples
        self.ignored = ignored

    @abstractmethod
    def read(self, sample: Sample) -> bytes:
        """Return a sample's bytes; Unreadable if they cannot be had."""

    def close(self) -> None:
        """Let go of what is open."""

    def __enter__(self) -> "Source":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_source(location: str | Path) -> Source:
    """Open a source by what it is.

    Raises:
        Failure: there is none, it is of no known kind, or it holds no images.
    """
    path = Path(location)
    shown = printable(str(location))
    if path.is_dir():
        source: Source = _Folder(path)
    elif not path.exists():
        raise Failure(f"there is no {shown}; give a folder, .zip, .tar[.gz] or .csv of images")
    elif path.suffix.lower() == ".csv":
        source = _Csv(path)
    elif zipfile.is_zipfile(path):
        source = _Zip(path)
    elif tarfile.is_tarfile(path):
        source = _Tar(path)
    else:
        raise Failure(f"{shown} is not a folder, .zip, .tar[.gz] or .csv; or it is damaged")
    if not source.samples:
        source.close()
        raise Failure(f"{shown} holds no images")
    return source


def _classified(names: Iterable[str], head: Callable[[str], bytes]) -> tuple[list[Sample], int]:
    """Return the samples among files, and how many others there are.

    names: paths with `/`.
    head: gives the first bytes of one, for those whose name does not tell.
    """
    images, ignored = [], 0
    for name in names:
        base = name.rsplit("/", 1)[-1]
        hidden = name.startswith("__MACOSX/") or base.startswith("._")
        if not hidden and (
            PurePosixPath(base.lower()).suffix in EXTENSIONS or _is_image(head(name))
        ):
            images.append(name)
        else:
            ignored += 1
    images.sort()
    parts = [name.split("/") for name in images]
    depth = 0
    while parts and all(len(p) > depth + 2 for p in parts) and len({p[depth] for p in parts}) == 1:
        depth += 1
    return [
        Sample(name, part[depth] if len(part) > depth + 1 else None)
        for name, part in zip(images, parts, strict=True)
    ], ignored


def _is_image(head: bytes) -> bool:
    return head.startswith(_SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


class _Folder(Source):
    """A folder, walked without following links to folders."""

    def __init__(self, path: Path) -> None:
        self._path = path
        names = []
        for folder, folders, files in os.walk(path):
            folders.sort()
            relative = Path(folder).relative_to(path).as_posix()
            names += [file if relative == "." else f"{relative}/{file}" for file in files]
        super().__init__(*_classified(names, self._head))

    def _head(self, name: str) -> bytes:
        try:
            with (self._path / name).open("rb") as file:
                return file.read(16)
        except OSError:
            return b""

    def read(self, sample: Sample) -> bytes:
        return _read_file(self._path / sample.path)


class _Csv(Source):
    """A table with the columns path and label; paths count from the table's folder."""

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        samples: list[Sample] = []
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = csv.DictReader(file, strict=True)
                columns = set(rows.fieldnames or ())
                if not {"path", "label"} <= columns:
                    raise Failure(f"{path} needs a first line with the columns path,label")
                for row in rows:
                    if not row["path"] or row["label"] is None:
                        raise Failure(f"{path}, line {rows.line_num}: no path or no label")
                    samples.append(Sample(row["path"], row["label"] or None))
        except (csv.Error, UnicodeDecodeError) as error:
            raise Failure(f"{path} is not a readable CSV in UTF-8: {error}") from error
        super().__init__(samples, 0)

    def read(self, sample: Sample) -> bytes:
        return _read_file(self._folder / sample.path)


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unreadable(f"cannot be read: {reason}") from error
    if len(data) > MAX_BYTES:
        raise Unreadable(f"larger than {MAX_BYTES >> 20} MiB")
    return data


class _Zip(Source):
    """A zip archive, read in place. `zipfile` lets several threads read at once."""

    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise Failure(f"{path} is a damaged zip archive: {error}") from error
        members = {i.filename: i for i in self._archive.infolist() if not i.is_dir()}
        self._members = members
        super().__init__(*_classified(members, self._head))

    def _head(self, name: str) -> bytes:
        try:
            with self._archive.open(self._members[name]) as file:
                return file.read(16)
        except (
            zipfile.BadZipFile,
            RuntimeError,
            NotImplementedError,
            OSError,
            zlib.error,
            EOFError,
        ):
            return b""

    def read(self, sample: Sample) -> bytes:
        try:
            with self._archive.open(self._members[sample.path]) as file:
                data = file.read(MAX_BYTES + 1)
        except RuntimeError as error:
            raise Unreadable("encrypted in the archive") from error
        except NotImplementedError as error:
            raise Unreadable("compressed in a way that is not supported") from error
        except (zipfile.BadZipFile, OSError, zlib.error, EOFError) as error:
            raise Unreadable(f"damaged in the archive: {error}") from error
        if len(data) > MAX_BYTES:
            raise Unreadable(f"larger than {MAX_BYTES >> 20} MiB")
        return data

    def close(self) -> None:
        self._archive.close()


class _Tar(Source):
    """A tar archive. A compressed one cannot be entered in the middle: it is read in its order."""

    def __init__(self, path: Path) -> None:
        try:
            self._archive = tarfile.open(path)
            members = {m.name.removeprefix("./"): m for m in self._archive if m.isfile()}
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise Failure(f"{path} is a damaged tar archive: {error}") from error
        self._members = members
        self._lock = threading.Lock()
        self.sequential = self._archive.fileobj.__class__.__name__ in _COMPRESSED
        super().__init__(*_classified(members, self._head))
        if self.sequential:
            self.samples.sort(key=lambda sample: members[sample.path].offset)

    def _head(self, name: str) -> bytes:
        file = self._archive.extractfile(self._members[name])
        return file.read(16) if file else b""

    def read(self, sample: Sample) -> bytes:
        member = self._members[sample.path]
        if member.size > MAX_BYTES:
            raise Unreadable(f"larger than {MAX_BYTES >> 20} MiB")
        try:
            with self._lock:
                file = self._archive.extractfile(member)
                data = file.read() if file else b""
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise Unreadable(f"damaged in the archive: {error}") from error
        if len(data) != member.size:
            raise Unreadable("cut short in the archive")
        return data

    def close(self) -> None:
        self._archive.close()


_COMPRESSED = frozenset({"GzipFile", "BZ2File", "LZMAFile"})
