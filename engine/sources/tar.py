"""Tar archives as sources, read in place: nothing is unpacked to disk, no link is followed."""

from collections.abc import Iterator
from dataclasses import replace

from cache.rows import Stat
from engine.sources.archive import (
    MAX_MEMBERS,
    access_failure,
    check_count,
    check_path,
    damage_failure,
)
from engine.sources.base import (
    BY_ITSELF,
    Location,
    Sample,
    Source,
    SourceOptions,
    Unreadable,
    within_limit,
)
from engine.sources.contents import First, contents
from engine.sources.remote.address import RemotePath
from engine.sources.tar_members import DamagedTar, Member, TarFile


class TarSource(Source):
    """A tar archive, plain or packed by gzip, bzip2 or xz.

    A packed one cannot be entered in the middle: it is read once to be listed, and once more, in
    its order, for the images. Of members with one name the last counts, as if the archive had been
    unpacked; the others are among `ignored`. Raises Failure for an archive that is damaged, cut
    short, too long or a decompression bomb.
    """

    def __init__(self, path: Location, options: SourceOptions = BY_ITSELF) -> None:
        try:
            self._archive = TarFile(path)
        except OSError as error:
            raise access_failure(path, error) from error
        try:
            members = dict[str, Member]()
            files = contents(self._files(path, members), labels_beside=True)
            self._members = {name: members[name] for name in files.images}
            listing = files.listing(options)
        except DamagedTar as error:
            self._archive.close()
            raise damage_failure(path, str(error)) from error
        except BaseException:
            self._archive.close()
            raise
        self.sequential = self._archive.packed
        self.remote = isinstance(path, RemotePath)
        if self.sequential:
            samples = sorted(listing.samples, key=lambda s: self._members[s.path].start)
            listing = replace(listing, samples=samples)
        super().__init__(path, listing)

    def _files(self, path: Location, members: dict[str, Member]) -> Iterator[tuple[str, First]]:
        """Yield the files of the archive; note in `members` where each is."""
        for count, (name, member, first) in enumerate(self._archive.members(), 1):
            check_count(path, count, MAX_MEMBERS)
            members[name] = member
            yield name, first

    def read(self, sample: Sample) -> bytes:
        """Return a member's bytes, see Source."""
        member = self._members[sample.path]
        check_path(sample.path)
        if member.fault:
            raise Unreadable(member.fault)
        within_limit(member.size)
        try:
            return self._archive.read(member)
        except DamagedTar as error:
            raise Unreadable(f"damaged in the archive: {error}") from error

    def size(self, sample: Sample) -> int | None:
        """Return the size that the archive says, see Source."""
        member = self._members[sample.path]
        return None if member.fault else member.size

    def stat(self, sample: Sample) -> Stat | None:
        """Return the archive's stat, see Source."""
        del sample
        return self._archive.stat

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()
