"""What every kind of source gives: samples, and their bytes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

# The largest file that is taken for an encoded image. Reading stops there: a member of an archive
# may claim, or unpack to, any size.
MAX_BYTES = 256 * 2**20


class Unreadable(Exception):
    """The bytes of one sample cannot be had; `reason` says why, in a line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Sample:
    """One image of a source.

    path: inside the source, with `/`; in a CSV as it is written there.
    label: the name of its class, None where it has none.
    """

    path: str
    label: str | None


class Source(ABC):
    """Samples, and how to read their bytes. A context manager.

    location: the folder or file that was opened.
    samples: in an order that is the same on every platform, unless `sequential`.
    ignored: how many files are no images, neither by content nor by name.
    sequential: reads must come from one thread and are fast only in the order of `samples`, which
        is the archive's. Otherwise any threads may read at once, in any order.
    """

    sequential = False

    def __init__(self, location: Path, samples: Sequence[Sample], ignored: int) -> None:
        self.location = location
        self.samples = samples
        self.ignored = ignored

    @abstractmethod
    def read(self, sample: Sample) -> bytes:
        """Return the bytes of one of `samples`.

        Raises:
            Unreadable: they cannot be had, or are more than MAX_BYTES.
        """

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
