"""A table that lists images of an archive by their paths inside it."""

from pathlib import Path

from cache.commandline.printable import printable
from cache.failures import Failure
from cache.files import open_file
from cache.rows import Stat
from engine.sources.base import (
    BY_ITSELF,
    Location,
    Sample,
    Source,
    SourceOptions,
    Unreadable,
)
from engine.sources.dialect import Rows
from engine.sources.table_rows import table_listing, table_rows
from engine.sources.tar import TarSource
from engine.sources.tar_members import is_packed, looks_like_tar
from engine.sources.zip import ZipSource

# Bytes that an archive is known by.
_HEAD_BYTES = 512

# The table says what the images are, whatever their folders are called.
_AS_LISTED = SourceOptions(labels="none", splits="none")


class ArchivedTable(Source):
    """A table with a row for each image of an archive; several threads may read at once.

    Each row is a sample, as in a `TableSource`. Raises Failure as that does, and for an archive
    that can only be read in its own order.
    """

    def __init__(
        self, path: Location, base: Path, rows: Rows, options: SourceOptions = BY_ITSELF
    ) -> None:
        """path: of the table. base: the archive. rows: what the table says."""
        samples, self._faults = table_listing(*table_rows(rows, options), options)
        self._archive = _open_archive(base)
        self._members = {sample.path: sample for sample in self._archive.samples}
        super().__init__(path, samples)

    @property
    def advice(self) -> str:
        """Where the paths count from, see Source."""
        return f"paths are those inside {printable(str(self._archive.location))}"

    def _member(self, sample: Sample) -> Sample:
        if fault := self._faults.get(sample.path):
            raise Unreadable(fault)
        if sample.path not in self._members:
            raise Unreadable("no image of the archive has this path")
        return self._members[sample.path]

    def read(self, sample: Sample) -> bytes:
        """Return a member's bytes, see Source."""
        return self._archive.read(self._member(sample))

    def size(self, sample: Sample) -> int | None:
        """Return the size that the archive says, see Source."""
        try:
            return self._archive.size(self._member(sample))
        except Unreadable:
            return None

    def is_there(self, sample: Sample) -> bool:
        """Tell whether the archive has a member of a row's path, see Source."""
        return sample.path in self._faults or sample.path in self._members

    def stat(self, sample: Sample) -> Stat | None:
        """Return the archive's stat, see Source."""
        return self._archive.stat(sample) if sample.path in self._members else None

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()


def _open_archive(base: Path) -> Source:
    with open_file(base) as file:
        head = file.read(_HEAD_BYTES)
    if is_packed(head):  # before all of it is unpacked
        raise Failure(
            f"{printable(str(base))} is packed, so that its images cannot be had one by one: "
            "unpack it, and give its folder as the base of the table"
        )
    return (TarSource if looks_like_tar(head) else ZipSource)(base, _AS_LISTED)
