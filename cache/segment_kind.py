"""The names of segments: which rows of a dataset a file of rows stands for."""

import re
from dataclasses import dataclass
from pathlib import Path

from cache.files import file_sha256
from cache.share import Share

_WHOLE, _PARTIAL = "whole", "rows"

_SEGMENT = re.compile(rf"[0-9]+-({_WHOLE}|{_PARTIAL})(?:_([0-9]+)_([0-9]+))?-([0-9a-f]{{64}})")


@dataclass(frozen=True)
class Kind:
    """What the rows of a segment stand for.

    finished: whether they take the place of those before it. share: of which share; None for all.
    """

    finished: bool
    share: Share | None = None

    def __str__(self) -> str:
        of = f"_{self.share.index}_{self.share.count}" if self.share else ""
        return (_WHOLE if self.finished else _PARTIAL) + of


def kind_of(path: Path) -> Kind:
    """Return what a segment's name says of it; of a name that is none's, some rows."""
    match = _SEGMENT.fullmatch(path.stem)
    if match is None:
        return Kind(finished=False)
    shared = match[2] is not None and int(match[2]) < int(match[3])
    share = Share(int(match[2]), int(match[3])) if shared else None
    return Kind(match[1] == _WHOLE and (shared or match[2] is None), share)


def names_its_bytes(path: Path) -> bool:
    """Tell whether a file is a segment, with the bytes that its name says."""
    match = _SEGMENT.fullmatch(path.stem)
    return match is not None and file_sha256(path) == match[4]
