"""A cache directory: feature spaces, their parts and their datasets. See `docs/format.md`.

cache.json                                 what this directory is, and its format version
spaces/ID/space.json                       everything that can change a feature; ID is its hash
spaces/ID/parts/SHA256.h5                  features, see `cache.part`
spaces/ID/datasets/KEY/dataset.json        a source's name
spaces/ID/datasets/KEY/GENERATION-KIND-SHA256.h5   its rows, see `cache.table`
spaces/ID/notes/NAME.json                  facts about a space
"""

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from cache.failures import Failure, UsageFailure
from cache.files import TEMPORARY, publish, temporary, write_whole
from cache.hdf5 import FORMAT, VERSION, Damaged
from cache.index import Index
from cache.part import SUFFIX, Part, file_sha256, open_part, write_part
from cache.table import Row, overlay, read_rows, write_rows

# A segment that holds all rows of a finished run, and one that holds some of a run under way.
_WHOLE, _PARTIAL = "whole", "rows"


@dataclass(frozen=True)
class FeatureCache:
    """A cache directory. Any number of processes may use it at once; nothing is ever locked."""

    path: Path

    @classmethod
    def create(cls, path: str | Path) -> "FeatureCache":
        """Open a cache, or make an empty one in a new or empty directory.

        Raises:
            Failure: the directory holds something else, or a newer release's cache.
        """
        cache = cls(Path(path))
        marker = cache.path / "cache.json"
        if not marker.exists():
            if cache.path.exists() and not cache.path.is_dir():
                raise Failure(f"{path} is a file; give a directory for the cache")
            if cache.path.is_dir() and any(
                not entry.name.startswith(TEMPORARY) for entry in cache.path.iterdir()
            ):
                raise Failure(f"{path} holds other things; give a new or empty directory")
            cache.path.mkdir(parents=True, exist_ok=True)
            _write_json(marker, {"format": f"{FORMAT}-cache", "version": VERSION})
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> "FeatureCache":
        """Open an existing cache.

        Raises:
            Failure: there is none, or a newer release wrote it.
        """
        cache = cls(Path(path))
        marker = cache.path / "cache.json"
        if not marker.is_file():
            raise Failure(
                f"{path} is not a cache; make one: python -m engine.extract SOURCE --cache {path}"
            )
        record = _read_json(marker)
        if record.get("format") != f"{FORMAT}-cache":
            raise Failure(f"{path} is not a cache of onceover")
        if not isinstance(record.get("version"), int) or record["version"] > VERSION:
            raise Failure(
                f"{path} has format version {record.get('version')}, this release reads up to "
                f"{VERSION}; update onceover"
            )
        return cache

    def spaces(self) -> list["Space"]:
        """Return all feature spaces, by id."""
        records = sorted((self.path / "spaces").glob("*/space.json"))
        return [Space.open(record.parent) for record in records]

    def space(self, prefix: str | None = None) -> "Space":
        """Return the only space, or the only one whose id begins with `prefix`.

        Raises:
            UsageFailure: there are several or none; the message lists them.
        """
        spaces = self.spaces()
        matching = [space for space in spaces if space.id.startswith(prefix or "")]
        if len(matching) == 1:
            return matching[0]
        if not spaces:
            raise Failure(f"{self.path} holds no features yet")
        listed = "; ".join(f"{space.id} ({space.title})" for space in spaces)
        asked = "choose one with --space" if prefix is None else f"--space {prefix} names no one"
        raise UsageFailure(f"{self.path} holds {len(spaces)} feature spaces, {asked}: {listed}")

    def add_space(self, description: Mapping[str, Any], dimension: int) -> "Space":
        """Return the space of a description, made if it is not there yet.

        description: JSON values; everything that can change a feature, and nothing else.
        dimension: floats per feature.
        """
        record = {"description": dict(description), "dimension": dimension}
        path = self.path / "spaces" / space_id(description)
        if not (path / "space.json").exists():
            (path / "parts").mkdir(parents=True, exist_ok=True)
            _write_json(path / "space.json", record)
        return Space.open(path)


def space_id(description: Mapping[str, Any]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a description's canonical JSON."""
    canonical = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Space:
    """Features of one kind, which never mix with another's."""

    path: Path
    description: Mapping[str, Any]
    dimension: int

    @classmethod
    def open(cls, path: Path) -> "Space":
        """Open a space's folder. Raises Damaged if it is not what its name says."""
        record = _read_json(path / "space.json")
        try:
            space = cls(path, record["description"], int(record["dimension"]))
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"{path / 'space.json'} is damaged") from error
        if space_id(space.description) != path.name:
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
        return sorted(path for path in paths if not path.name.startswith(TEMPORARY))

    def index(self) -> Index:
        """Return what the finished parts hold now. A damaged part is left out, with a warning."""
        parts: list[Part] = []
        for path in self.part_paths():
            try:
                parts.append(open_part(path, self.id, self.dimension))
            except Damaged as damage:
                warnings.warn(str(damage), stacklevel=2)
            except FileNotFoundError:
                continue  # compacted away since it was listed
        return Index(parts, self.dimension)

    def append(self, digests: np.ndarray, features: np.ndarray) -> None:
        """Add a part: digests uint8 (N, 32), features float32 (N, D). Durable on return."""
        if features.shape[1:] != (self.dimension,):
            raise ValueError(f"features of shape {features.shape} in a space of {self.dimension}")
        write_part(self.path / "parts", self.id, digests, features)

    def write_note(self, name: str, payload: Any) -> None:
        """Keep a fact about the space, as JSON, in place of an earlier one of that name."""
        (self.path / "notes").mkdir(exist_ok=True)
        _write_json(self.path / "notes" / f"{name}.json", payload)

    def notes(self) -> dict[str, Any]:
        """Return the facts that are kept about the space."""
        return {p.stem: _read_json(p) for p in sorted((self.path / "notes").glob("[!.]*.json"))}

    def datasets(self) -> list[str]:
        """Return the names of the datasets that have rows in this space."""
        records = (self.path / "datasets").glob("*/dataset.json")
        return sorted(str(_read_json(record)["name"]) for record in records)

    def table(self, names: Sequence[str] | None = None) -> list[Row]:
        """Return the rows of the named datasets, or of all.

        Raises:
            UsageFailure: there is no dataset of such a name.
        """
        known = self.datasets()
        for name in names or ():
            if name not in known:
                raise UsageFailure(f"there is no dataset {name}; there are: {', '.join(known)}")
        return [row for name in names or known for row in _Segments.of(self, name).rows()]

    def write_dataset(self, name: str) -> "DatasetWriter":
        """Begin to write the rows of a dataset. A context manager."""
        segments = _Segments.of(self, name)
        if not (segments.folder / "dataset.json").exists():
            segments.folder.mkdir(parents=True, exist_ok=True)
            _write_json(segments.folder / "dataset.json", {"name": name})
        return DatasetWriter(segments)


@dataclass(frozen=True)
class _Segments:
    """The files of a dataset's table: the newest whole one, and newer partial ones over it."""

    folder: Path

    @classmethod
    def of(cls, space: Space, name: str) -> "_Segments":
        key = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return cls(space.path / "datasets" / key)

    def paths(self) -> list[Path]:
        """Return the segments in force, oldest first."""
        paths = sorted(self.folder.glob(f"[0-9]*{SUFFIX}"))
        whole = [number for number, path in enumerate(paths) if f"-{_WHOLE}-" in path.name]
        return paths[whole[-1] :] if whole else paths

    def rows(self) -> list[Row]:
        return list(overlay(read_rows(path) for path in self.paths()))

    def write(self, rows: Sequence[Row], kind: str) -> None:
        """Write a segment after all that are there."""
        newest = max((int(p.name[:8]) for p in self.folder.glob(f"[0-9]*{SUFFIX}")), default=0)
        with temporary(self.folder) as unfinished:
            write_rows(unfinished, rows)
            name = f"{newest + 1:08d}-{kind}-{file_sha256(unfinished)}{SUFFIX}"
            publish(unfinished, self.folder / name)


class DatasetWriter:
    """Writes a run's rows: some at a time while it is under way, all when it is finished.

    Until it is finished its rows lie over those of the last finished run, path by path; then
    they replace them. Each call is durable on return.
    """

    def __init__(self, segments: _Segments) -> None:
        """Begin a run."""
        self._segments = segments
        self._rows: list[Row] = []

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows."""
        added = list(rows)
        self._segments.write(added, _PARTIAL)
        self._rows += added

    def finish(self) -> None:
        """Replace the dataset's table by this run's rows."""
        older = list(self._segments.folder.glob(f"[0-9]*{SUFFIX}"))
        self._segments.write(self._rows, _WHOLE)
        for path in older:
            path.unlink(missing_ok=True)

    def __enter__(self) -> "DatasetWriter":
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave what was appended as it is."""


def _write_json(path: Path, record: Any) -> None:
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    write_whole(path, lambda unfinished: _write_text(unfinished, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Damaged(f"{path} is damaged: {error}") from error
