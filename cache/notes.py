"""Facts that are kept about a feature space beside its features, a small file each."""

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cache.files import Damaged
from cache.record import read_record, write_record

_NAME = re.compile("[a-z0-9_-]{1,64}")

# The note that has other names for some of what a space is called by.
TITLE_NOTE = "title"

_TITLE = ("backbone", "layer", "pool", "precision", "interpolation", "crop")


def read_note(path: Path) -> dict[str, Any]:
    """Read a fact about a space. Raises Damaged if it is not what was written."""
    try:
        note = read_record(path, "note").get("note")
        if not isinstance(note, dict):
            raise Damaged(f"{path} is damaged: it says nothing")
    except Damaged as damage:
        raise Damaged(f"{damage}; verify sets it aside") from damage
    return note


def write_note(folder: Path, name: str, payload: Mapping[str, Any]) -> None:
    """Keep a fact, JSON values, in a folder, in place of an earlier one of that name.

    name: lower-case letters, digits, `-` and `_`.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name} is no name for a note")
    folder.mkdir(exist_ok=True)
    write_record(folder / f"{name}.json", "note", {"note": dict(payload)})


def note_paths(folder: Path) -> list[Path]:
    """Return the files of the facts in a folder, by name."""
    return sorted(path for path in folder.glob("*.json") if _NAME.fullmatch(path.stem))


def shown_names(folder: Path, description: Mapping[str, Any]) -> dict[str, Any]:
    """Return a space's description as it is shown, with the names of its note TITLE_NOTE.

    Two files that people call by their names have none in a description, which says what is in
    them.
    """
    shown: dict[str, Any] = {}
    with contextlib.suppress(Damaged, FileNotFoundError):  # `verify` tells of damage
        shown = read_note(folder / f"{TITLE_NOTE}.json")
    return {**description, **{k: str(v) for k, v in shown.items() if k in _TITLE}}


def title_of(names: Mapping[str, Any]) -> str:
    """Return what distinguishes a space, in a few words."""
    return " ".join(str(names[key]) for key in _TITLE if key in names)
