"""What a user names -> sources: a folder, an archive, a table, or files one by one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from cache.commandline.printable import printable
from cache.failures import Failure
from cache.files import home_path, open_file
from engine.images.formats import HEAD_BYTES as IMAGE_HEAD_BYTES
from engine.images.formats import has_image_name, image_format
from engine.sources.base import (
    BY_ITSELF,
    Listing,
    Location,
    Sample,
    Source,
    SourceOptions,
    Unreadable,
)
from engine.sources.folder import FolderSource
from engine.sources.foreign import HEAD_BYTES, advice
from engine.sources.parquet import open_parquet
from engine.sources.regular import read_file
from engine.sources.remote.address import RemotePath, is_remote, remote_path, unsigned
from engine.sources.remote.folder import RemoteFolder
from engine.sources.remote.listing import walk
from engine.sources.remote.matching import is_wild, remote_matches
from engine.sources.remote.reading import describe, read_object, read_range
from engine.sources.remote.table import RemoteTable
from engine.sources.shards import ShardsSource, is_pattern, matches
from engine.sources.table import TableSource
from engine.sources.tables import open_table
from engine.sources.tar import TarSource
from engine.sources.tar_members import looks_like_tar
from engine.sources.zip import ZipSource

__all__ = ["Input", "Sample", "Source", "SourceOptions", "Unreadable", "inputs", "open_source"]

# Who classifies images asks for no labels, and is asked nothing about them.
_UNLABELLED = SourceOptions(labels="none", splits="none")

_KINDS = "give a folder, .zip, .tar[.gz], .csv or .parquet of images"
_PAGE = "; where it lists a folder's files, end its address with /"

# What opens a file that is a source.
_Open = Callable[[Location, SourceOptions], Source]

# Kinds of files that a source is sometimes packed in once more.
_ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz"})


def open_source(location: str | Path, options: SourceOptions = BY_ITSELF) -> Source:
    """Open a source by what it is; `layout` says which files are samples, of which class.

    location: a folder, an archive, a table, or several by a pattern (see `shards`); or the address
        of one, see `engine.sources.remote.address`.

    Raises:
        Failure: there is none, it cannot be read, it is of no known kind, it holds no images, or
            cannot be understood without being told more.
        UsageFailure: the options do not fit the source.
    """
    shown = printable(unsigned(str(location)))
    try:
        if is_remote(location):
            last = str(location).rstrip("/").rpartition("/")[2]
            source = _open_remote(str(location), replace(options, name=last.partition(".")[0]))
        else:
            path = home_path(location)
            last = path.resolve().name
            source = _open(path, replace(options, name=last.partition(".")[0]))
    except FileNotFoundError as error:
        raise Failure(f"there is no {shown}; {_KINDS}") from error
    except Unreadable as error:
        raise _unread(shown, error) from error
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name, ~ without a user
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise Failure(f"{shown} cannot be read: {reason}; {_KINDS}") from error
    if not source.samples:
        source.close()
        kinds = source.ignored_kinds
        what = f" but {count_kinds(kinds)}" if kinds else ""
        inner = "unpack those and give the folder" if _ARCHIVES & kinds.keys() else _KINDS
        raise Failure(f"{shown} holds no images{what}; {inner}")
    return source


def count_kinds(kinds: Mapping[str, int]) -> str:
    """Return how many files of each kind there are, in words: `4 .txt, 1 .pdf`."""
    ordered = sorted(kinds.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{count} {printable(kind, 40)}" for kind, count in ordered)


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
    for holds_many, group in groupby(names, key=_holds_many):
        if not holds_many:
            yield Input("", FileList(list(group)))
            continue
        for name in group:
            try:
                source = open_source(name, _UNLABELLED)
            except Failure as failure:
                yield Input(name, None, str(failure))
                continue
            with source:
                yield Input(_prefix(name, source), source)


def _prefix(name: str, source: Source) -> str:
    if isinstance(source, TableSource | RemoteTable):
        name = str(source.base)  # the paths in a table count from its folder
    return name if name.endswith("/") else f"{name}/"


def _unread(shown: str, error: Unreadable) -> Failure:
    reason = error.reason.removeprefix("cannot be read: ")
    return Failure(f"{printable(shown)} cannot be read: {reason}")


def _holds_many(name: str) -> bool:
    """Return whether a name stands for a source, and not for one image or nothing at all."""
    if is_remote(name):
        return not has_image_name(name.partition("?")[0])
    path = Path(name)
    try:
        return path.is_dir() or (path.is_file() and _file_source(path) is not None)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return False


def _open(path: Path, options: SourceOptions) -> Source:
    if path.is_dir():
        return _open_folder(path, options)
    if is_pattern(str(path)) and not path.exists():
        paths = matches(str(path))
        if len(paths) == 1:
            return _open_file(paths[0], options)
        return ShardsSource(path.parent, paths, _open_file, options)
    return _open_file(path, options)


def _open_remote(address: str, options: SourceOptions) -> Source:
    if is_pattern(address) and (is_wild(address) or "{" in address):
        paths = remote_matches(address)
        if len(paths) == 1:
            return _open_file(paths[0], options)
        return ShardsSource(paths[0].parent, paths, _open_file, options)
    place = remote_path(address)
    if place.is_web:
        is_folder = place.shown.partition("?")[0].endswith("/")
    else:
        is_folder = describe(place)["type"] == "directory"
    if not is_folder:
        return _open_file(place, options)
    folder = RemoteFolder(place, options)
    if folder.samples or ".parquet" not in folder.ignored_kinds:
        return folder
    tables = sorted(name for name, _ in walk(place) if name.endswith(".parquet"))
    return ShardsSource(place, [place / name for name in tables], open_parquet, options)


def _open_folder(path: Path, options: SourceOptions) -> Source:
    """Open a folder of images; one without any, but with parquet files, as those."""
    folder = FolderSource(path, options)
    if folder.samples or ".parquet" not in folder.ignored_kinds:
        return folder
    tables = sorted(path.rglob("*.parquet"))
    return ShardsSource(path, tables, open_parquet, options)


def _open_file(path: Location, options: SourceOptions) -> Source:
    try:
        opener = _file_source(path)
    except Unreadable as error:  # of several files, the one that it is
        raise _unread(str(path), error) from error
    if opener is None:
        words = advice(_head(path), path.suffix.lower())
        shown = printable(str(path))
        if words:
            web = isinstance(path, RemotePath) and path.is_web and "page of the web" in words
            raise Failure(f"{shown} is {words}{_PAGE if web else ''}")
        if image_format(_head(path)[:IMAGE_HEAD_BYTES]) is not None:
            raise Failure(f"{shown} is one image and no source of them; give the folder it is in")
        raise Failure(f"{shown} is of no known kind, or damaged; {_KINDS}")
    return opener(path, options)


def _head(path: Location) -> bytes:
    if isinstance(path, RemotePath):
        return read_range(path, 0, HEAD_BYTES)
    with open_file(path) as file:
        return file.read(HEAD_BYTES)


def _file_source(path: Location) -> _Open | None:
    """Return what opens a regular file, by its first bytes or its name; None for no source.

    Raises:
        OSError: it cannot be read, or is no regular file.
        Unreadable: its server does not give it.
    """
    suffix = path.suffix.lower()
    head = _head(path)
    if advice(head, suffix):
        return None
    if suffix in (".csv", ".tsv"):
        return open_table
    if head.startswith(b"PAR1"):
        return open_parquet
    if head.startswith(b"PK") or suffix == ".zip":
        return ZipSource
    if looks_like_tar(head) or suffix == ".tar":
        return TarSource
    return None


class FileList(Source):
    """Files named one by one; all of them are samples, without labels, in the order given."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(Path(), Listing([Sample(name, None) for name in names]))

    def read(self, sample: Sample) -> bytes:
        """Return a file's bytes, see Source."""
        if is_remote(sample.path):
            return read_object(remote_path(sample.path))
        return read_file(Path(sample.path))

    def close(self) -> None:
        """Do nothing: no file stays open."""
