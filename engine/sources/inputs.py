"""The images that a user names, file by file or by folders and archives, as sources in turn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from cache.failures import Failure
from engine.sources.base import Source
from engine.sources.files import ListedFiles
from engine.sources.open import is_collection, open_source


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
    for collected, group in groupby(names, key=lambda name: is_collection(Path(name))):
        if not collected:
            yield Input("", ListedFiles(list(group)))
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
