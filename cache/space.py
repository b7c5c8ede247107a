"""A feature space: a folder of parts, datasets and notes that never mix with another's."""

import contextlib
import hashlib
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.dataset import DatasetWriter, Segments
from cache.failures import UsageFailure
from cache.files import Damaged, read_json, write_json
from cache.index import Index
from cache.known import WORTH_WRITING, read_known, write_known
from cache.part import SUFFIX, Part, open_part, set_aside, write_part
from cache.table import Row

_PART_NAME = re.compile(rf"[0-9a-f]{{64}}{re.escape(SUFFIX)}")


def space_id(description: Mapping[str, Any]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a description's canonical JSON."""
    canonical = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)


@dataclass(frozen=True)
class Space:
    """Features of one kind. Any number of threads and processes may read and append at once."""

    path: Path
    description: Mapping[str, Any]
    dimension: int

    @classmethod
    def open(cls, path: Path) -> "Space":
        """Open a space's folder. Raises Damaged if it is not what its name says."""
        record = read_json(path / "space.json")
        try:
            space = cls(path, dict(record["description"]), int(record["dimension"]))
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"{path / 'space.json'} is damaged") from error
        if space_id(space.description) != path.name or space.dimension < 1:
            raise Damaged(f"{path / 'space.json'} does not belong to the folder that it is in")
        return space

    @property
    def id(self) -> str:
        """The space's name: a hash of its description."""
        return self.path.name

    @property
    def title(self) -> str:
        """What distinguishes the space, in a few words."""
        keys = ("backbone", "layer", "precision", "interpolation")
        return " ".join(str(self.description[key]) for key in keys if key in self.description)

    def part_paths(self) -> list[Path]:
        """Return the finished parts, by name."""
        paths = (self.path / "parts").glob(f"*{SUFFIX}")
        return sorted(path for path in paths if _PART_NAME.fullmatch(path.name))

    def parts(self, warn: Callable[[str], None] = _warn) -> list[Part]:
        """Return the finished parts with their digests.

        A damaged one is left out, set aside and told to `warn`: its images count as not computed.
        """
        known = read_known(self.path)
        parts: list[Part] = []
        unknown = 0
        for path in self.part_paths():
            if path.name in known:
                parts.append(Part(path, known[path.name], self.dimension))
                continue
            unknown += 1
            try:
                parts.append(open_part(path, self.id, self.dimension))
            except Damaged as damage:
                with contextlib.suppress(OSError):  # a read-only cache: leaving it out will do
                    set_aside(path)
                warn(f"{damage}; set aside, the next extraction computes its images again")
            except FileNotFoundError:
                continue  # compacted away since it was listed
        if unknown >= WORTH_WRITING:
            write_known(self.path, parts)
        return parts

    def index(self, warn: Callable[[str], None] = _warn) -> Index:
        """Return what the finished parts hold now. Damaged parts are treated as by `parts`."""
        return Index(self.parts(warn), self.dimension, lambda: self.index(warn))

    def append(self, digests: np.ndarray, features: np.ndarray) -> None:
        """Add a part: digests uint8 (N, 32), features float32 (N, D). Durable on return.

        Raises:
            OSError: it could not be written (full disk, no permission); nothing has changed.
        """
        if features.shape[1:] != (self.dimension,):
            raise ValueError(f"features of shape {features.shape} in a space of {self.dimension}")
        write_part(self.path / "parts", self.id, digests, features)

    def write_note(self, name: str, payload: Mapping[str, Any]) -> None:
        """Keep a fact about the space, as JSON, in place of an earlier one of that name."""
        (self.path / "notes").mkdir(exist_ok=True)
        write_json(self.path / "notes" / f"{name}.json", payload)

    def notes(self) -> dict[str, Any]:
        """Return the facts that are kept about the space: name -> payload."""
        return {p.stem: read_json(p) for p in sorted((self.path / "notes").glob("[!.]*.json"))}

    def datasets(self) -> list[str]:
        """Return the names of the datasets that have rows in this space."""
        return sorted(segments.name for segments in Segments.all(self.path))

    def table(self, names: Sequence[str] | None = None) -> list[Row]:
        """Return the rows of the named datasets, or of all.

        Raises:
            UsageFailure: there is no dataset of such a name.
            Damaged: a dataset's table is not what was written.
        """
        known = self.datasets()
        for name in names or ():
            if name not in known:
                raise UsageFailure(f"there is no dataset {name}; there are: {', '.join(known)}")
        return [
            row
            for name in (known if names is None else names)
            for row in Segments.of(self.path, name).rows()
        ]

    def write_dataset(self, name: str) -> DatasetWriter:
        """Begin to write the rows of a dataset. A context manager."""
        return DatasetWriter(Segments.made(self.path, name))
