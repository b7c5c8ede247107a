"""A cache directory: its marker and its feature spaces. `docs/format.md` has the whole format.

cache.json                        what this directory is, and its format version
spaces/ID/space.json              everything that can change a feature; ID is its hash
spaces/ID/parts/SHA256.h5         features, see `cache.part`
spaces/ID/datasets/KEY/...        the rows of a source, see `cache.segments`
spaces/ID/notes/NAME.json         facts about a space
spaces/ID/damaged/SHA256.h5       parts that were found damaged

Each file says its format and version, and finds any changed bit of itself: JSON files are records
(`cache.record`), HDF5 files are named by their SHA-256. No folder is a link.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.dataset_writer import DatasetWriter
from cache.failures import Failure, UsageFailure
from cache.files import TEMPORARY, Damaged, refuse_links
from cache.lock import file_lock
from cache.record import read_record, write_record
from cache.space import Space, space_id

__all__ = ["DatasetWriter", "FeatureCache", "Space", "space_id"]

_OWN = {"cache.json", "spaces", "heads", "locks", ".maintenance"}


@dataclass(frozen=True)
class FeatureCache:
    """A cache directory. Any number of processes may use it at once; extraction locks nothing."""

    path: Path

    @classmethod
    def create(cls, path: str | Path) -> "FeatureCache":
        """Open a cache, or make an empty one in a new or empty directory.

        Raises:
            Failure: the directory holds something else, or a newer release's cache.
        """
        cache = cls(Path(path))
        marker = cache.path / "cache.json"
        if not marker.is_file():
            if cache.path.exists() and not cache.path.is_dir():
                raise Failure(f"{path} is a file; give a directory for the cache")
            cache.path.mkdir(parents=True, exist_ok=True)
            names = {entry.name for entry in cache.path.iterdir()}
            others = {name for name in names - _OWN if not name.startswith(TEMPORARY)}
            if others and not marker.exists():  # another process may have made it just now
                raise Failure(f"{path} holds other things; give a new or empty directory")
            write_record(marker, "cache", {})
        try:
            read_record(marker, "cache")
        except Damaged:  # it says nothing that could be lost
            write_record(marker, "cache", {})
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> "FeatureCache":
        """Open an existing cache.

        Raises:
            Failure: there is none, a newer release wrote it, or a link leads out of it.
            Damaged: its marker is not what was written.
        """
        cache = cls(Path(path))
        marker = cache.path / "cache.json"
        if not marker.is_file():
            raise Failure(f"{path} is not a cache; extract a source into it, which makes one")
        try:
            read_record(marker, "cache")
        except Damaged as damage:
            raise Damaged(f"{damage}; the next extraction into {path} writes it anew") from damage
        refuse_links(cache.path / "spaces", cache.path / "heads")
        return cache

    @contextmanager
    def computing(self, key: str) -> Iterator[None]:
        """Hold a lock while features are computed, so that no other process computes the same.

        For work on few images, of which two processes may want the same at once: the second
        waits, and looks them up again. An extraction takes none.

        key: what names the features: hexadecimal digits.
        """
        folder = self.path / "locks"
        refuse_links(folder)
        folder.mkdir(exist_ok=True)
        with file_lock(folder / f"{key}.lock", wait=True):
            yield

    def spaces(self) -> list[Space]:
        """Return all feature spaces, by id."""
        records = sorted((self.path / "spaces").glob("*/space.json"))
        return [Space.open(record.parent) for record in records]

    def space(self, prefix: str | None = None) -> Space:
        """Return the only space with a dataset, or the only one whose id begins with `prefix`.

        Without a prefix, spaces that have features and no dataset count only where no other has
        one: a choice of a precision may have left some of the precision that was not taken.

        Raises:
            UsageFailure: there are several or none; the message lists them.
        """
        spaces = self.spaces()
        if prefix is None:
            spaces = [space for space in spaces if space.datasets()] or spaces
        matching = [space for space in spaces if space.id.startswith(prefix or "")]
        if len(matching) == 1:
            return matching[0]
        if not spaces:
            raise Failure(f"{self.path} holds no features yet; extract a source into it first")
        listed = "; ".join(f"{space.id} ({space.title})" for space in spaces)
        several = f"{self.path} holds {len(spaces)} feature space{'s' * (len(spaces) > 1)}"
        begun = (
            "choose one by the beginning of its id"
            if prefix is None
            else (f"and {prefix} is the beginning of {len(matching) or 'none'} of their ids")
        )
        raise UsageFailure(f"{several}, {begun}: {listed}")

    def add_space(self, description: Mapping[str, Any], dimension: int) -> Space:
        """Return the space of a description, made if it is not there yet.

        description: JSON values; everything that can change a feature, and nothing else.
        dimension: floats per feature.
        """
        return Space.make(self.path / "spaces", description, dimension)
