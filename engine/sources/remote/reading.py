"""Reading over a network: so many bytes at most, again after a fault, so many times."""

import io
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from cache.failures import first_line
from engine.sources.base import MAX_BYTES, Unreadable, within_limit
from engine.sources.remote.address import RemotePath

# How often a request is made before its fault is told, and the seconds before the second one;
# before each further one twice as many, and up to half of it more, so that a thousand workers
# that a server turned away do not come back at once.
ATTEMPTS, PAUSE_SECONDS = 4, 0.5

# After how long a request without an answer counts as a fault: gcsfs would wait for ever.
ANSWER_SECONDS = 120.0

# What is read ahead of a stream's reader, as of a packed tar or a table.
AHEAD_BYTES = 2**20

# Faults that the same request would meet again.
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_TOO_BUSY = (408, 425, 429)

# What aiohttp, gcsfs and adlfs call the status of an answer in their errors.
_STATUS = ("status", "code", "status_code")

Answer = TypeVar("Answer")


def retried(request: Callable[[], Answer]) -> Answer:
    """Return what a request gives, which is made again after a fault that may pass.

    Raises:
        FileNotFoundError, PermissionError: the server says so.
        Unreadable: anything else, ATTEMPTS times.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            pause = PAUSE_SECONDS * 2 ** (attempt - 1)
            time.sleep(pause * (1 + random.random() / 2))  # noqa: S311 - no secret
        try:
            return request()
        except (*_LASTING, Unreadable):
            raise
        except Exception as error:  # noqa: BLE001 - each library raises its own
            fault = error
            if _is_lasting(error):
                break
    raise Unreadable(f"cannot be read: {first_line(fault)}") from fault


def _is_lasting(error: Exception) -> bool:
    told = (getattr(error, name, None) for name in _STATUS)
    status = next((value for value in told if isinstance(value, int)), 0)
    return 400 <= status < 500 and status not in _TOO_BUSY


def describe(place: RemotePath) -> dict[str, Any]:
    """Return what the file system says of a place: `type`, `size` and more. See `retried`."""

    def ask() -> dict[str, Any]:
        try:
            told: dict[str, Any] = place.files.info(place.key)
        except FileNotFoundError as error:
            # fsspec says so of a web server that cannot be reached, too.
            if place.is_web and getattr(error.__cause__, "status", None) not in (404, 410):
                raise error.__cause__ or error from None
            raise
        return told

    return retried(ask)


def read_object(place: RemotePath, size: int | None = None) -> bytes:
    """Return the bytes of a file. size: where it is known.

    Raises:
        Unreadable: there is none, it cannot be read, or is larger than MAX_BYTES.
    """
    if size == 0:
        return b""  # no part of nothing can be asked for
    within_limit(size or 0)
    try:
        data = _read(place, 0, MAX_BYTES + 1)
    except Unreadable:
        if size is None and not place.is_web and _is_empty(place):
            return b""
        raise
    within_limit(len(data))
    return data


def _is_empty(place: RemotePath) -> bool:
    try:
        return describe(place).get("size") == 0
    except (OSError, Unreadable):
        return False


def read_range(place: RemotePath, start: int, size: int) -> bytes:
    """Return so many bytes of a file from a place on; fewer where it ends. See `read_object`."""
    return _read(place, start, size) if size > 0 else b""


def _read(place: RemotePath, start: int, size: int) -> bytes:
    request = _read_part
    if place.is_web:
        request = _read_from_web
    elif place.shown.startswith("hdfs://"):
        request = _read_from_hadoop
    try:
        return retried(lambda: request(place, start, size))
    except FileNotFoundError:
        raise Unreadable("cannot be read: there is no such file") from None
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or first_line(error)}") from error


def _read_part(place: RemotePath, start: int, size: int) -> bytes:
    files, part = place.files, {"start": start, "end": start + size}
    data: bytes
    if files.async_impl:
        from fsspec.asyn import sync

        data = sync(files.loop, files._cat_file, place.key, **part, timeout=ANSWER_SECONDS)
    else:
        data = files.cat_file(place.key, **part)
    if len(data) > size:
        raise Unreadable("cannot be read: the server gives more than it was asked for")
    return data


def _read_from_web(place: RemotePath, start: int, size: int) -> bytes:
    """Read as a stream, so that a server that gives more than was asked for fills no memory."""
    headers = {"Accept-Encoding": "identity"}
    if start or size <= MAX_BYTES:
        headers["Range"] = f"bytes={start}-{start + size - 1}"
    # A size that is not asked for spares a request; a stream does not look at it.
    with place.files.open(place.key, block_size=0, size=1, headers=headers) as stream:
        if start and stream.r.status != 206:
            raise Unreadable("the server gives files only as a whole; download it")
        return _read_next(stream, size)


def _read_from_hadoop(place: RemotePath, start: int, size: int) -> bytes:
    """Read without fsspec's `cat_file`, which seeks in a stream that cannot, or gives all."""
    with place.files.open(place.key, "rb") as file:
        file.seek(start)
        return _read_next(file, size)


def _read_next(stream: Any, size: int) -> bytes:
    pieces, left = [], size
    while left and (piece := stream.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


class RemoteFile(io.RawIOBase):
    """A file of so many bytes, read part by part; one thread's, but for `part`.

    Raises Unreadable where bytes cannot be had.
    """

    def __init__(self, place: RemotePath, size: int) -> None:
        self._place, self.size, self._position = place, size, 0

    def part(self, start: int, size: int) -> bytes:
        """Return so many bytes from a place on; any threads may ask."""
        return read_range(self._place, start, min(size, self.size - start))

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return where the next byte is read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place, see `io.IOBase.seek`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise OSError(None, "a place before the beginning")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        """Read the next bytes, as many as the buffer has room for."""
        view = memoryview(buffer).cast("B")
        data = self.part(self._position, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
