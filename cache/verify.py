"""Is each file of a cache still what was written?"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cache.dataset import Segments
from cache.files import Damaged, read_json
from cache.part import SUFFIX, file_sha256, open_part, set_aside
from cache.space import Space
from cache.store import FeatureCache
from cache.table import read_rows


@dataclass
class Verified:
    """What was looked at, and the damaged files: path -> what is wrong.

    set_aside: the damaged parts that were moved to their space's `damaged/`.
    """

    files: int = 0
    bytes: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    set_aside: list[str] = field(default_factory=list)


def verify(cache: FeatureCache) -> Verified:
    """Read every file of a cache and compare it with the checksum in its name.

    A damaged part is set aside, so that the next extraction computes its images again; of a
    damaged table nothing is served until the next extraction of that source replaces it.
    A newer release's file raises Failure.
    """
    result = Verified()
    for record in sorted((cache.path / "spaces").glob("*/space.json")):
        try:
            space = Space.open(record.parent)
        except Damaged as damage:
            result.damaged[str(record)] = str(damage)
            continue
        _verify_parts(space, result)
        _verify_rows(space, result)
        for note in (space.path / "notes").glob("[!.]*.json"):
            with _noting(note, result):
                read_json(note)
    return result


def _verify_parts(space: Space, result: Verified) -> None:
    for path in space.part_paths():
        with _noting(path, result):
            if file_sha256(path) != path.stem:
                raise Damaged("its bytes are not those that were written")
            open_part(path, space.id, space.dimension)
        if str(path) in result.damaged:
            with contextlib.suppress(OSError):  # a read-only cache: it is reported all the same
                result.set_aside.append(str(set_aside(path)))


def _verify_rows(space: Space, result: Verified) -> None:
    for folder in sorted((space.path / "datasets").glob("*/")):
        with _noting(folder / "dataset.json", result):
            name = str(read_json(folder / "dataset.json").get("name"))
            if Segments.of(space.path, name).folder != folder:
                raise Damaged("its name is not the one that was written")
        for path in sorted(folder.glob(f"[!.]*{SUFFIX}")):
            with _noting(path, result):
                match = re.fullmatch(r"[0-9]+-(?:whole|rows)-([0-9a-f]{64})", path.stem)
                if match is None or file_sha256(path) != match[1]:
                    raise Damaged("its bytes are not those that were written")
                read_rows(path)


@contextlib.contextmanager
def _noting(path: Path, result: Verified) -> Iterator[None]:
    """Count a file, and note it where the block finds it damaged."""
    size = 0
    try:
        size = path.stat().st_size
        yield
    except FileNotFoundError:
        return  # compacted away or replaced since it was listed
    except Damaged as damage:
        result.damaged[str(path)] = str(damage)
    result.files += 1
    result.bytes += size
