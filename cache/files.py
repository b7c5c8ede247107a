"""Files that appear whole or not at all, and that are what they seem."""

import contextlib
import hashlib
import io
import os
import shutil
import stat
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from cache.failures import Failure

# Names that begin so are unfinished; nothing but `gc` looks at them.
TEMPORARY = ".tmp-"

# Windows knows none of these but O_BINARY, and no pipes among files either.
_FLAGS = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
)

_JUNCTION = 0xA0000003  # Windows: IO_REPARSE_TAG_MOUNT_POINT


class Damaged(Failure):
    """A file of the cache is not what was written."""


@contextmanager
def temporary(folder: Path) -> Iterator[Path]:
    """Give a name in `folder` for a file to write; it is gone afterwards, unless renamed."""
    path = folder / f"{TEMPORARY}{uuid.uuid4().hex}"
    try:
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def publish(unfinished: Path, final: Path) -> None:
    """Make a finished file durable under its name: fsync, rename, fsync the folder.

    An existing file of that name is replaced in one step.
    """
    with unfinished.open("rb+") as file:
        os.fsync(file.fileno())
    unfinished.replace(final)
    sync_folder(final.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Windows has no such call, and NTFS needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically and durably, in place of an earlier one.

    Raises:
        OSError: it could not be written (full disk, no permission); an earlier one is as it was.
    """
    with temporary(path.parent) as unfinished:
        unfinished.write_bytes(data)
        publish(unfinished, path)


def copy_whole(source: Path, final: Path, sha256: Collection[str] | None = None) -> None:
    """Copy a file atomically and durably, in place of an earlier one.

    sha256: what the copy's SHA-256 may be, where that is known.

    Raises:
        Damaged: the copy has another SHA-256; nothing has changed.
        OSError: it could not be written; nothing has changed.
    """
    with temporary(final.parent) as unfinished:
        shutil.copyfile(source, unfinished)
        if sha256 is not None and file_sha256(unfinished) not in sha256:
            raise Damaged(f"{source} is damaged: its bytes are not those that were written")
        publish(unfinished, final)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal, in constant memory.

    Raises:
        Damaged: it is no regular file.
        OSError: it is not there, or may not be read.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while data := file.read(2**20):
            digest.update(data)
    return digest.hexdigest()


def is_link(path: Path) -> bool:
    """Tell whether a path is a symbolic link, or a junction of Windows."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION


def refuse_links(*folders: Path) -> None:
    """Raise Failure if one of a cache's folders is a link: what lies behind it is not the cache's.

    A stranger's cache could otherwise have any folder of the user's cleaned up or written to.
    """
    for folder in folders:
        if is_link(folder):
            raise Failure(f"{folder} is a link, and a cache has none inside; remove the link")


def open_file(path: Path) -> io.FileIO:
    """Open a user's file for reading, unbuffered, without waiting for anything.

    The descriptor is looked at and not the name, which may stand for a pipe a moment later.

    Raises:
        OSError: there is none, it may not be read, or it is a pipe, a device or a folder.
        ValueError: a NUL in the name.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(None, "not a regular file")
        return io.FileIO(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the bytes of a user's file, see `open_file`. OSError for more than `limit`, too."""
    with open_file(path) as file:
        data = read_first_of(file, limit + 1)
    if len(data) > limit:
        raise OSError(None, f"larger than {limit} bytes")
    return data


def read_first_of(file: io.FileIO, most: int) -> bytes:
    """Return the first so many bytes, or all.

    Raises:
        OSError: they would have to be waited for.
    """
    size = os.fstat(file.fileno()).st_size
    pieces, left = [], most
    while left:
        # The size first, then a little: a buffer of the limit for each file would cost memory.
        piece = file.read(min(left, max(size + 1, 2**16)))
        if piece is None:
            raise OSError(None, "it would have to be waited for")
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
        size = 0
    return b"".join(pieces)


def open_regular(path: Path) -> io.FileIO:
    """Open a regular file of a cache for reading, unbuffered.

    Raises:
        Damaged: it is a link, a pipe (which opening might wait for), a device or a folder.
        OSError: it is not there, or may not be read.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION:
        raise Damaged(f"{path} is not a regular file")
    return open_file(path)


def read_regular(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file. Damaged if it is none, or has more than `limit`."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise Damaged(f"{path} is damaged: it is larger than {limit} bytes")
        return file.read()


def home_path(path: str | Path) -> Path:
    """Return a path whose `~` or `~user` at the beginning is the home folder.

    Of a user that there is not it stays as it is, where `Path.expanduser` raises RuntimeError.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111


def is_vacant(folder: Path) -> bool:
    """Tell whether a folder is not there, or is empty but for what a kill left of a file."""
    if not folder.is_dir():
        return not folder.exists()
    return all(path.name.startswith(TEMPORARY) for path in folder.iterdir())
