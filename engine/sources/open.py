"""What a user names -> sources: a folder, an archive, a table, or files one by one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from cache.commandline.printable import printable
from cache.failures import Failure
from engine.sources.base import Sample, Source, Unreadable
from engine.sources.folder import FolderSource
from engine.sources.regular import read_file
from engine.sources.table import TableSource
from engine.sources.tar import TarSource
from engine.sources.tar_members import looks_like_tar
from engine.sources.zip import ZipSource

__all__ = ["Input", "Sample", "Source", "Unreadable", "inputs", "open_source"]

_KINDS = "give a folder, .zip, .tar[.gz] or .csv of images"


def open_source(location: str | Path) -> Source:
    """Open a source by what it is; `layout` says which files are samples, of which class.

    Raises:
        Failure: there is none, it cannot be read, it is of no known kind, or it holds no images.
    """
    path = Path(location)
    shown = printable(str(location))
    try:
        source = _open(path)
    except FileNotFoundError as error:
        raise Failure(f"there is no {shown}; {_KINDS}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise Failure(f"{shown} cannot be read: {reason}; {_KINDS}") from error
    if source is None:
        raise Failure(f"{shown} is of no known kind, or damaged; {_KINDS}")
    if not source.samples:
        source.close()
        raise Failure(f"{shown} holds no images; {_KINDS}")
    return source


@dataclass(frozen=True)
class Input:
    """What one name, or several names of files in a row, stand for.

    prefix: goes before the paths of the samples, so that they are paths from where the user is.
    source: None where it could not be opened, for the `reason`; `prefix` is then its name.
    """

    prefix: str
    source: Source | None
    reason: str = ""


def inputs(names: Sequence[str]) -> Iterator[Input]:
    """Yield what `names` stand for, in order; one is open at a time.

    Neighbouring files become one source, so that they are read and run together.
    """
    for holds_many, group in groupby(names, key=lambda name: _holds_many(Path(name))):
        if not holds_many:
            yield Input("", FileList(list(group)))
            continue
        for name in group:
            try:
                source = open_source(name)
            except Failure as failure:
                yield Input(name, None, str(failure))
                continue
            with source:
                yield Input(_prefix(name, source), source)


def _prefix(name: str, source: Source) -> str:
    if source.location.suffix.lower() == ".csv" and source.location.is_file():
        name = str(source.location.parent)  # the paths in a table count from its folder
    return name if name.endswith("/") else f"{name}/"


def _holds_many(path: Path) -> bool:
    """Return whether a name stands for a source, and not for one image or nothing at all."""
    try:
        return path.is_dir() or (path.is_file() and _file_source(path) is not None)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return False


def _open(path: Path) -> Source | None:
    if path.is_dir():
        return FolderSource(path)
    path.stat()
    if not path.is_file():
        return None  # a pipe or a device, which opening might wait for
    kind = _file_source(path)
    return kind(path) if kind else None


def _file_source(path: Path) -> Callable[[Path], Source] | None:
    """Return what opens a regular file, by its name or its first bytes; None for no source."""
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return TableSource
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PK") or suffix == ".zip":
        return ZipSource
    if looks_like_tar(head) or suffix == ".tar":
        return TarSource
    return None


class FileList(Source):
    """Files named one by one; all of them are samples, without labels, in the order given."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(Path(), [Sample(name, None) for name in names], 0)

    def read(self, sample: Sample) -> bytes:
        """Return a file's bytes, see Source."""
        return read_file(Path(sample.path))

    def close(self) -> None:
        """Do nothing: no file stays open."""
