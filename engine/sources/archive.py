"""What every archive is held to, and how its faults are told."""

import errno

from cache.commandline.printable import printable
from cache.failures import Failure
from engine.sources.base import Location, Unreadable
from engine.sources.layout import climbs

# An archive that lists more files than this is refused.
MAX_MEMBERS = 5_000_000

# One that expands further is taken for a decompression bomb: photographs hardly shrink at all,
# and deflate can reach 1,032-fold.
MAX_EXPANSION = 100
SMALL_BYTES = 2**30  # below which expansion is no matter


def check_path(path: str) -> None:
    """Raise Unreadable for a path that leads out of its archive."""
    if climbs(path):
        raise Unreadable("its path leads out of the archive")


def check_count(path: Location, members: int, most: int) -> None:
    """Raise Failure for an archive of more than `most` files."""
    if members > most:
        raise Failure(f"{printable(str(path))} lists over {most:,} files; split it")


def expansion_limit(size: int) -> int:
    """Return how many bytes an archive of so many may hold."""
    return max(SMALL_BYTES, MAX_EXPANSION * size)


def damage_failure(path: Location, reason: str) -> Failure:
    """Return the Failure of an archive that is not sound."""
    return Failure(
        f"{printable(str(path))} is no sound archive: {printable(reason)}; "
        "get it again, or unpack it and give the folder"
    )


def access_failure(path: Location, error: OSError) -> Failure:
    """Return the Failure of an archive that the system does not let read."""
    more = "; let more files be open (ulimit -n)" if error.errno == errno.EMFILE else ""
    return Failure(f"{printable(str(path))} cannot be read: {error.strerror or error}{more}")


def one_line(error: Exception) -> str:
    """Return what an error says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
