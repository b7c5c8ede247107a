"""What a folder of another file system holds, with what tells whether a file has changed."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote

from cache.failures import Failure
from cache.rows import Stat
from engine.sources.archive import MAX_MEMBERS
from engine.sources.base import Unreadable
from engine.sources.folder_tree import MAX_FOLDERS
from engine.sources.remote.address import RemotePath
from engine.sources.remote.reading import retried

# Folders in folders that are gone into: links of a web server may go round for ever.
MAX_DEPTH = 64

# A file whose server gives no more than its time is trusted once it is so many seconds old: the
# server's clock may tick in seconds, and differ from ours.
SETTLED_SECONDS = 900

# What file systems call a file's content hash, its version, and when it was last changed.
_HASHES = ("ETag", "etag", "md5Hash", "content_md5", "crc32c")
_VERSIONS = ("VersionId", "generation", "blob_id", "xet_hash")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modificationTime", "modified")
_MORE_TIMES = ("Last-Modified", "created")


def walk(top: RemotePath) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (path with `/`, what is said of it) of all files below a folder.

    Raises:
        Failure: a folder cannot be listed, or there are too many.
    """
    pending, visited, files = [("", top.key, 0)], {top.key.rstrip("/")}, 0
    while pending:
        prefix, key, depth = pending.pop()
        for name, entry in _children(top, key):
            inner = str(entry["name"]).rstrip("/")
            if entry["type"] != "directory":
                files += 1
                if files > MAX_MEMBERS:
                    raise Failure(f"{top} lists over {MAX_MEMBERS:,} files; divide it")
                yield prefix + name, entry
            elif inner not in visited and depth < MAX_DEPTH:
                visited.add(inner)
                if len(visited) > MAX_FOLDERS:
                    raise Failure(f"{top} has over {MAX_FOLDERS:,} folders; divide it")
                slash = "/" if top.is_web else ""  # else its server sends one there first
                pending.append((f"{prefix}{name}/", inner + slash, depth + 1))


def children(folder: RemotePath) -> list[tuple[str, Mapping[str, Any]]]:
    """Return (name, what is said of it) of all that is in a folder; nothing where there is none.

    Raises:
        Failure: it cannot be listed.
    """
    return list(_children(folder, folder.key))


def _children(top: RemotePath, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        entries = retried(lambda: top.files.ls(key, detail=True))
    except FileNotFoundError:
        return  # gone since its parent was listed
    except (OSError, Unreadable) as error:
        raise Failure(f"{top} cannot be listed: {_reason(error)}") from error
    for entry in entries:
        name = _name(top, key, entry)
        if name is not None:
            yield name, entry


def _reason(error: OSError | Unreadable) -> str:
    if isinstance(error, Unreadable):
        return error.reason
    return " ".join(str(error.strerror or error).split())


def _name(top: RemotePath, key: str, entry: Mapping[str, Any]) -> str | None:
    """Return an entry's own name; None for what is not in the folder, as a link that goes up."""
    path = str(entry["name"])
    start = key.rstrip("/") + "/"
    if not path.startswith(start):
        return None
    name = path[len(start) :].rstrip("/")
    if top.is_web:
        if "?" in name or "#" in name:
            return None  # a link that sorts the page
        name = unquote(name)
    return name if name and "/" not in name and name not in (".", "..") else None


def stat_of(told: Mapping[str, Any]) -> Stat | None:
    """Return the stat of a file by what its file system says; None if that tells no change.

    Two equal ones mean equal bytes: by a hash of the content, else by size and time of a file that
    was not changed lately. The times of a `Stat` are of this machine's clock, so they stay 0.
    """
    size = told.get("size")
    if not isinstance(size, int):
        return None
    times = [told[key] for key in _TIMES + _MORE_TIMES if told.get(key) is not None]
    hashes = [str(told[key]) for key in _HASHES if told.get(key)]
    hashes = [text for text in hashes if not text.startswith("W/")]  # weak: RFC 9110, 8.8.1
    if not hashes:
        seconds = _seconds(times[0]) if times else None
        if seconds is None or seconds > time.time() - SETTLED_SECONDS:
            return None
    versions = [str(told[key]) for key in _VERSIONS if told.get(key)]
    text = "\n".join([*hashes, *versions, *(str(_seconds(value)) for value in times[:1])])
    tag = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return Stat(size, 0, 0, tag)


def _seconds(moment: object) -> float | None:
    """Return a moment, however it is said, in seconds since 1970; None if that is not clear."""
    if isinstance(moment, int | float):
        return moment / 1000 if moment > 1e11 else float(moment)  # WebHDFS counts milliseconds
    date = _date(moment) if isinstance(moment, str) else moment
    if not isinstance(date, datetime):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        try:
            return datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            return None
