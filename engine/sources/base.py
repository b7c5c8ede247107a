"""What every kind of source gives: samples, and their bytes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Union

from cache.rows import Stat

if TYPE_CHECKING:
    from engine.sources.remote.address import RemotePath

# Where a source is.
Location = Union[Path, "RemotePath"]

# The largest file that is taken for an encoded image. Reading stops there: a member of an archive
# may claim, or unpack to, any size.
MAX_BYTES = 256 * 2**20


class Unreadable(Exception):
    """The bytes of one sample cannot be had; `reason` says why, in a line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a source.

    path: inside the source, with `/`; in a table as it is written there.
    label: the name of its class, None where it has none.
    split: `train`, `validation`, `test`, or another that the source names; None where it has none.
    """

    path: str
    label: str | None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Fields:
    """What a table, or a file beside an image, says of it."""

    label: str | None
    split: str | None = None


@dataclass(frozen=True)
class Listing:
    """What a source holds, and what had to be guessed to say so.

    samples: in an order that is the same on every platform, unless the source is `sequential`.
    ignored_kinds: how many files are no images, neither by content nor by name, by their kind:
        the name's suffix in lower case, or a few words.
    guesses: what was taken for what, a line each. warnings: what looks wrong, a line each.
    """

    samples: Sequence[Sample]
    ignored_kinds: Mapping[str, int] = field(default_factory=dict)
    guesses: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceOptions:
    """What a user says of a source, where it is not to be guessed; None for what is found.

    labels: `folder`, `column` (of a table, or beside the images), `none`, or a regular expression
        over the path whose one group is the label.
    splits: `auto`; `folders`: the topmost folders that may be splits are; `none`: none is.
    path_column, label_column, split_column: names of a table's columns.
    base: the folder or its address, or the archive, that a table's paths count from; None for the
        table's own folder.
    """

    labels: str | None = None
    splits: str = "auto"
    path_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    base: str | None = None
    name: str = ""

    @property
    def pattern(self) -> str | None:
        """The regular expression that labels are taken by, if they are."""
        return None if self.labels in (None, "folder", "column", "none") else self.labels


# Nothing is said: all is found, or guessed and told.
BY_ITSELF = SourceOptions()


class Source(ABC):
    """Samples, and how to read their bytes. A context manager.

    location: the folder or file that was opened.
    remote: whether it is on another file system, whose files are known by their listing alone.
    listing: what it holds; its fields are the source's own as well.
    sequential: reads must come from one thread and are fast only in the order of `samples`, which
        is the archive's. Otherwise any threads may read at once, in any order.
    """

    sequential = False
    remote = False

    def __init__(self, location: Location, listing: Listing) -> None:
        self.location = location
        self.listing = listing
        self.samples = listing.samples

    @property
    def ignored_kinds(self) -> Mapping[str, int]:
        """How many files are no images, by their kind."""
        return self.listing.ignored_kinds

    @property
    def ignored(self) -> int:
        """How many files are no images, neither by content nor by name."""
        return sum(self.ignored_kinds.values())

    @property
    def guesses(self) -> tuple[str, ...]:
        """What was taken for what, a line each."""
        return self.listing.guesses

    @property
    def warnings(self) -> tuple[str, ...]:
        """What looks wrong, a line each."""
        return self.listing.warnings

    @property
    def advice(self) -> str:
        """What to look at where none of the samples can be used."""
        return "look at what is rejected, and why"

    @abstractmethod
    def read(self, sample: Sample) -> bytes:
        """Return the bytes of one of `samples`.

        Raises:
            Unreadable: they cannot be had, or are more than MAX_BYTES.
        """

    def size(self, sample: Sample) -> int | None:
        """Return how many bytes a sample has; None where that cannot be had.

        A choice of samples asks for it, see `engine.sources.choice`. Here all of them are read: a
        source that knows without reading says so in its own.
        """
        try:
            return len(self.read(sample))
        except Unreadable:
            return None

    def is_there(self, sample: Sample) -> bool:
        """Tell whether a sample's file is there, without reading it: a table may list others."""
        del sample
        return True

    def stat(self, sample: Sample) -> Stat | None:
        """Return the stat of the file that a sample's bytes are in; any threads may ask.

        The archive's, where it is in one. Two equal ones mean equal bytes, if the first was taken
        when the file was settled. None where nothing can be trusted.
        """
        del sample
        return None

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open."""

    def __enter__(self) -> "Source":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def within_limit(size: int) -> None:
    """Raise Unreadable for more than MAX_BYTES bytes."""
    if size > MAX_BYTES:
        raise Unreadable(f"larger than {MAX_BYTES >> 20} MiB")
