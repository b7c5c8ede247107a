"""Records: JSON objects that say what they are and carry the SHA-256 of their own bytes.

Their first three keys are `format`, `version` and `sha256`, in this order and in every version to
come. `sha256` is that of the record's bytes with its own 64 digits replaced by zeros, so it finds
any changed bit, those included that JSON would not notice.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cache.failures import Failure
from cache.files import Damaged, read_regular, write_whole

FORMAT = "onceover"
VERSION = 2

# Largest record that is read: a feature space's description has some hundred bytes.
_MAX_BYTES = 2**22

_BLANK = "0" * 64
_DIGEST = re.compile("[0-9a-f]{64}")


def sealed(kind: str, fields: Mapping[str, Any], size: int | None = None) -> bytes:
    """Return the bytes of a record: `kind` is what it describes, `fields` what it says.

    size: fills it up with spaces to so many bytes. ValueError if they do not suffice.
    """
    head = {"format": f"{FORMAT}-{kind}", "version": VERSION, "sha256": _BLANK}
    if size is None:
        text = json.dumps({**head, **fields}, indent=1)
    else:
        text = json.dumps({**head, **fields}, separators=(",", ":")).ljust(size - 1)
    blank = f"{text}\n".encode("ascii")
    if size not in (None, len(blank)):
        raise ValueError(f"a record of {len(blank)} bytes does not fit in {size}")
    return blank.replace(_BLANK.encode(), hashlib.sha256(blank).hexdigest().encode(), 1)


def unsealed(data: bytes, path: Path, kind: str) -> dict[str, Any]:
    """Return what a record says, and its `version`. path: where it is from, for messages.

    Raises:
        Damaged: it is not a record of that kind, or not what was written.
        Failure: a newer release wrote it.
    """
    try:
        record = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path} is damaged: it is no record: {error}") from error
    if not isinstance(record, dict):
        raise Damaged(f"{path} is damaged: it is not a JSON object")
    digest = record.get("sha256")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise Damaged(f"{path} is damaged: it has no checksum")
    if hashlib.sha256(data.replace(digest.encode(), _BLANK.encode(), 1)).hexdigest() != digest:
        raise Damaged(f"{path} is damaged: it is not what was written")
    if record.get("format") != f"{FORMAT}-{kind}":
        raise Damaged(f"{path} is not a {kind} of {FORMAT}")
    version = record.get("version")
    if type(version) is not int or version < 1:
        raise Damaged(f"{path} is damaged: it has no version")
    if version > VERSION:
        raise Failure(
            f"{path} has format version {version}, this release reads up to {VERSION}; "
            f"update {FORMAT}"
        )
    return {key: record[key] for key in record if key not in ("format", "sha256")}


def write_record(path: Path, kind: str, fields: Mapping[str, Any]) -> None:
    """Write a record to a file, atomically and durably. OSError if it could not be written."""
    write_whole(path, sealed(kind, fields))


def read_record(path: Path, kind: str) -> dict[str, Any]:
    """Read a record from a file.

    Raises:
        Damaged: it is not a record of that kind, or not what was written.
        Failure: a newer release wrote it.
        OSError: it is not there, or may not be read.
    """
    record = unsealed(read_regular(path, _MAX_BYTES), path, kind)
    return {key: value for key, value in record.items() if key != "version"}
