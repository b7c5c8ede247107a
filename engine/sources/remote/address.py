"""An address such as `s3://bucket/pets`: where a source is that is on no disk of this machine."""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from cache.commandline.printable import printable
from cache.failures import Failure, UsageFailure, first_line

# Of fsspec's file systems those that hold files as such, and need no program to be run.
SCHEMES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "hdfs", "webhdfs", "hf", "memory")
_WEB = ("http", "https")

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")

# Parameters of signed addresses: secrets, which differ each time.
_SIGNATURE = re.compile(
    r"(?i)(x-(amz|goog|oss)-|AWSAccessKeyId$|Signature$|Expires$|Key-Pair-Id$|Policy$|token$"
    r"|(sig|se|st|sp|sv|sr|spr|skoid|sktid|skt|ske|sks|skv)$)"
)


def is_remote(location: object) -> bool:
    """Return whether a location is an address rather than a path of this machine."""
    return isinstance(location, RemotePath) or _ADDRESS.match(str(location)) is not None


@dataclass(frozen=True)
class RemotePath:
    """A file or folder of another file system, with what of `pathlib.Path` sources use.

    shown: its address without a signature; it names the place in messages and in caches.
    files: the file system as fsspec has it. key: the place's name there.
    Can be pickled; any threads may use it.
    """

    shown: str
    files: Any = field(compare=False, repr=False)
    key: str = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.shown

    def __truediv__(self, name: str) -> "RemotePath":
        """Return what has a name, with `/`, in this folder."""
        tail = quote(name) if self.is_web else name
        return RemotePath(
            f"{self.shown.rstrip('/')}/{tail}", self.files, f"{self.key.rstrip('/')}/{tail}"
        )

    @property
    def is_web(self) -> bool:
        """Whether it is on a web server, where folders are pages of links."""
        return self.shown.startswith(("http://", "https://"))

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of its folders and its own."""
        path = urlsplit(self.shown).path if self.is_web else self.shown.partition("://")[2]
        return tuple(part for part in path.split("/") if part)

    @property
    def name(self) -> str:
        """The last of its names."""
        return self.parts[-1] if self.parts else ""

    @property
    def suffix(self) -> str:
        """What its name ends with, from the last dot on; nothing without one."""
        stem, dot, suffix = self.name.rpartition(".")
        return dot + suffix if stem else ""

    @property
    def parent(self) -> "RemotePath":
        """The folder that it is in."""
        shown, key = self.shown.partition("?")[0], self.key.partition("?")[0]
        if not self.is_web:
            shown, key = self.shown, self.key
        shown, key = shown.rstrip("/").rpartition("/")[0], key.rstrip("/").rpartition("/")[0]
        return RemotePath(shown, self.files, key)

    def resolve(self) -> "RemotePath":
        """Return itself: an address is whole."""
        return self

    def exists(self) -> bool:
        """Return whether it is there, and can be reached now."""
        try:
            return bool(self.files.exists(self.key))
        except Exception:  # noqa: BLE001 - each library raises its own where nothing answers
            return False


def remote_path(address: str) -> RemotePath:
    """Return where an address leads; nothing is read yet.

    Raises:
        UsageFailure: it is of a kind that is not read, or has a password in it.
        Failure: fsspec, or what it needs for this kind, is not installed.
    """
    scheme = address.partition("://")[0].lower()
    shown = printable(unsigned(address))
    if scheme not in SCHEMES + _WEB:
        raise UsageFailure(
            f"{scheme}:// is not read; give {', '.join(f'{name}://' for name in SCHEMES)} or "
            "http(s)://, or a path of this machine"
        )
    if ":" in address.partition("://")[2].partition("/")[0].rpartition("@")[0]:
        raise UsageFailure(f"{scheme}://: put no password into the address; say it to fsspec")
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise Failure(f"{shown} is read by fsspec; pip install 'onceover[remote]'") from error
    try:
        # What a folder held a while ago is no answer to what it holds.
        files, key = url_to_fs(address, use_listings_cache=False)
    except ImportError as error:
        raise Failure(f"{shown} cannot be read: {first_line(error)}") from error
    except Exception as error:  # each library raises its own: no server, no key, no such host
        raise Failure(f"{shown} cannot be reached: {first_line(error)}") from error
    return RemotePath(unsigned(address), files, str(key))


def unsigned(address: str) -> str:
    """Return an address without the parameters that sign it, nor a slash that ends a folder."""
    if not address.startswith(("http://", "https://")):
        return address.rstrip("/")
    parts = urlsplit(address)
    pairs = (pair for pair in parts.query.split("&") if pair)
    query = "&".join(pair for pair in pairs if not _SIGNATURE.match(pair.partition("=")[0]))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
