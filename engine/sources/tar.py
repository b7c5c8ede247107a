"""Tar archives as sources, read in place: nothing is unpacked to disk, no link is followed."""

from pathlib import Path

from engine.sources.archive import check_count, check_path, damaged, unreadable
from engine.sources.base import Sample, Source, Unreadable, within_limit
from engine.sources.layout import is_sample, with_labels
from engine.sources.tar_members import DamagedTar, Member, TarFile


class TarSource(Source):
    """A tar archive, plain or packed by gzip, bzip2 or xz.

    A packed one cannot be entered in the middle: it is read once to be listed, and once more, in
    its order, for the images. Of members with one name the last counts, as if the archive had been
    unpacked; the others are among `ignored`. Raises Failure for an archive that is damaged, cut
    short, too long or a decompression bomb.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._archive = TarFile(path)
        except OSError as error:
            raise unreadable(path, error) from error
        try:
            self._members, files = self._list(path)
        except BaseException:
            self._archive.close()
            raise
        self.sequential = self._archive.packed
        samples = with_labels(self._members)
        if self.sequential:
            samples.sort(key=lambda sample: self._members[sample.path].start)
        super().__init__(path, samples, files - len(samples))

    def _list(self, path: Path) -> tuple[dict[str, Member], int]:
        """Return the images by their paths, and how many files there are."""
        members: dict[str, Member] = {}
        files = 0
        try:
            for name, member, head in self._archive.members():
                files += 1
                check_count(path, files)
                members.pop(name, None)
                if is_sample(name, head):
                    members[name] = member
        except DamagedTar as error:
            raise damaged(path, str(error)) from error
        return members, files

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

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()
