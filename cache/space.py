"""A feature space: a folder of parts, datasets and notes that never mix with another's."""

import contextlib
import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.dataset_writer import DatasetWriter
from cache.failures import UsageFailure
from cache.files import Damaged, is_link, refuse_links
from cache.index import Index
from cache.known_files import KnownFiles
from cache.notes import note_paths, read_note, shown_names, title_of, write_note
from cache.part import SUFFIX, Part, open_part, set_aside, write_part
from cache.record import read_record, write_record
from cache.rows import Row
from cache.segments import begin_segments, list_segments, segments_of
from cache.share import Share

# Floats a feature may have: VGG16's largest layer gives 3,211,264.
MAX_DIMENSION = 2**24

_FOLDERS = ("parts", "datasets", "notes", "damaged")

_PART_NAME = re.compile(rf"[0-9a-f]{{64}}{re.escape(SUFFIX)}")
_SHA256 = re.compile("[0-9a-f]{64}")

# Files that may lie in a space's folder, each with its SHA-256 in the description. The one that
# names the other comes after it, so that no kill leaves it alone.
_COMPANIONS = ("model.onnx.data", "model.onnx")

# How often the parts are listed anew while others appear. What a listing misses, because it was
# written and another deleted while that ran, the next one has.
_LISTINGS = 10


_log = logging.getLogger(__name__)


def space_id(description: Mapping[str, Any]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a description's canonical JSON."""
    canonical = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Space:
    """Features of one kind. Any number of threads and processes may read and append at once."""

    path: Path
    description: Mapping[str, Any]
    dimension: int

    @classmethod
    def open(cls, path: Path) -> "Space":
        """Open a space's folder.

        Raises:
            Damaged: it is not what its name says.
            Failure: one of its folders is a link, or a newer release wrote it.
        """
        refuse_links(path, *(path / name for name in _FOLDERS))
        record = read_record(path / "space.json", "space")
        description, dimension = record.get("description"), record.get("dimension")
        try:
            belongs = isinstance(description, dict) and space_id(description) == path.name
        except RecursionError as error:  # what JSON's reader takes, its writer need not
            raise Damaged(f"{path / 'space.json'} is damaged: it is too deep") from error
        if not isinstance(description, dict) or not belongs:
            raise Damaged(f"{path / 'space.json'} does not belong to the folder that it is in")
        if type(dimension) is not int or not 1 <= dimension <= MAX_DIMENSION:
            raise Damaged(f"{path / 'space.json'} is damaged: {dimension} floats a feature")
        return cls(path, description, dimension)

    @classmethod
    def make(cls, folder: Path, description: Mapping[str, Any], dimension: int) -> "Space":
        """Return the space of a description in the folder of spaces, made if it is not sound."""
        path = folder / space_id(description)
        refuse_links(path)
        (path / "parts").mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(Damaged, FileNotFoundError):
            return cls.open(path)
        cls(path, description, dimension)._write_record()
        return cls.open(path)

    def _write_record(self) -> None:
        record = {"description": dict(self.description), "dimension": self.dimension}
        write_record(self.path / "space.json", "space", record)

    @property
    def id(self) -> str:
        """The space's name: a hash of its description."""
        return self.path.name

    @property
    def names(self) -> dict[str, Any]:
        """The description as it is shown, by the names that a note has for some of it."""
        return shown_names(self.path / "notes", self.description)

    @property
    def title(self) -> str:
        """What distinguishes the space, in a few words."""
        return title_of(self.names)

    @property
    def companion_digests(self) -> frozenset[str]:
        """What the description holds of SHA-256: no other file goes with the space."""
        digests: set[str] = set()
        values: list[Any] = [self.description]
        while values:
            value = values.pop()
            if isinstance(value, Mapping):
                values += value.values()
            elif isinstance(value, list):
                values += value
            elif isinstance(value, str) and _SHA256.fullmatch(value):
                digests.add(value)
        return frozenset(digests)

    def companions(self) -> list[Path]:
        """Return the files that go with the features, such as the model that computes them."""
        paths = (self.path / name for name in _COMPANIONS)
        return [path for path in paths if path.is_file() and not is_link(path)]

    def part_paths(self) -> list[Path]:
        """Return the finished parts, by name."""
        folder = self.path / "parts"
        try:
            names = os.listdir(folder)  # noqa: PTH208 - 10,000 paths take longer to sort than names
        except FileNotFoundError:
            return []
        return [folder / name for name in sorted(filter(_PART_NAME.fullmatch, names))]

    def parts(self) -> list[Part]:
        """Return the finished parts with their digests.

        A damaged one is left out, set aside and warned of: its images count as not computed.
        Where parts are compacted meanwhile, each row is in at least one that is returned; such a
        one may be gone by then.
        """
        parts: dict[str, Part | None] = {}
        for number in range(_LISTINGS):
            new = [path for path in self.part_paths() if path.name not in parts]
            if number and not new:
                break
            parts.update((path.name, self._part(path)) for path in new)
        return [part for part in parts.values() if part]

    def _part(self, path: Path) -> Part | None:
        try:
            return open_part(path, self.id, self.dimension)
        except Damaged as damage:
            with contextlib.suppress(OSError):  # a read-only cache: leaving it out will do
                set_aside(path)
            _log.warning("%s; set aside, the next extraction computes its images again", damage)
        except FileNotFoundError:
            pass  # compacted away since it was listed
        return None

    def index(self) -> Index:
        """Return what the finished parts hold now. Damaged parts are treated as by `parts`."""
        return Index(self.parts(), self.dimension, self.index)

    def append(self, digests: np.ndarray, features: np.ndarray) -> None:
        """Add a part: digests uint8 (N, 32), features float32 (N, D). Durable on return.

        Raises:
            OSError: it could not be written (full disk, no permission); nothing has changed.
        """
        if features.shape[1:] != (self.dimension,):
            raise ValueError(f"features of shape {features.shape} in a space of {self.dimension}")
        (self.path / "parts").mkdir(exist_ok=True)  # a gc of the unused space may have removed it
        write_part(self.path / "parts", self.id, digests, features)

    def write_note(self, name: str, payload: Mapping[str, Any]) -> None:
        """Keep a fact about the space, JSON values, in place of an earlier one of that name.

        name: lower-case letters, digits, `-` and `_`.
        """
        write_note(self.path / "notes", name, payload)

    def note_paths(self) -> list[Path]:
        """Return the files of the facts that are kept about the space, by name."""
        return note_paths(self.path / "notes")

    def notes(self) -> dict[str, Any]:
        """Return the facts that are kept about the space: name -> payload."""
        return {path.stem: read_note(path) for path in self.note_paths()}

    def datasets(self) -> list[str]:
        """Return the names of the datasets that have rows in this space."""
        return sorted(segments.name for segments in list_segments(self.path))

    def partial_rows(self) -> list[Path]:
        """Return the files of rows that runs under way, or killed ones, have written."""
        return [path for segments in list_segments(self.path) for path in segments.partial()]

    def rows(self, names: Sequence[str] | None = None) -> list[Row]:
        """Return the rows of the named datasets, or of all.

        Raises:
            UsageFailure: there is no dataset of such a name.
            Damaged: a dataset's rows are not what was written.
        """
        known = self.datasets()
        for name in names or ():
            if name not in known:
                raise UsageFailure(f"there is no dataset {name}; there are: {', '.join(known)}")
        return [
            row
            for name in (known if names is None else names)
            for row in segments_of(self.path, name).rows()
        ]

    def known_files(self, name: str, share: Share | None = None) -> KnownFiles:
        """Return which files of a dataset, or of a share, are as their rows' digests say still."""
        return segments_of(self.path, name).known_files(share)

    def origin(self, name: str) -> dict[str, str]:
        """Return what `write_dataset` was last told of where a dataset's rows are from."""
        return segments_of(self.path, name).origin()

    def write_dataset(
        self,
        name: str,
        *,
        adds: bool = False,
        share: Share | None = None,
        origin: Mapping[str, str] | None = None,
    ) -> DatasetWriter:
        """Begin to write the rows of a dataset. adds, share: see DatasetWriter.

        origin: what the program needs, beside the name, to find the rows' images again; it takes
            the place of an earlier one. None leaves that.

        From here on `gc` leaves the features that the space has: look them up after this.
        """
        segments = begin_segments(self.path, name, share, origin)
        # A gc that removes the unused space just now has taken its record before it saw the marker.
        if not (self.path / "space.json").exists():
            self._write_record()
        return DatasetWriter(segments, adds=adds, share=share)
