"""Where images come from: a folder, a zip or tar archive, a CSV -> samples."""

from collections.abc import Callable
from pathlib import Path

from cache.commandline.printable import printable
from cache.failures import Failure
from engine.sources.archives import TarSource, ZipSource
from engine.sources.base import Sample, Source, Unreadable
from engine.sources.files import CsvSource, FolderSource
from engine.sources.tar import looks_like_tar

__all__ = ["Sample", "Source", "Unreadable", "is_collection", "open_source"]

_KINDS = "give a folder, .zip, .tar[.gz] or .csv of images"


def open_source(location: str | Path) -> Source:
    """Open a source by what it is; `layout` says which files are samples, of which class.

    Raises:
        Failure: there is none, it cannot be read, it is of no known kind, or it holds no images.
    """
    path = Path(location)
    shown = printable(str(location))
    try:
        source = _opened(path)
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


def is_collection(path: Path) -> bool:
    """Return whether a name stands for a source, and not for one image or nothing at all."""
    try:
        return path.is_dir() or (path.is_file() and _file_source(path) is not None)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return False


def _opened(path: Path) -> Source | None:
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
        return CsvSource
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PK") or suffix == ".zip":
        return ZipSource
    if looks_like_tar(head) or suffix == ".tar":
        return TarSource
    return None
