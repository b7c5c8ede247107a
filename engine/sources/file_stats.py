"""Whether a file is as it was in an earlier run, by what its folder says of it.

As git's index does: size, times and number of a file tell, unless it was changed so shortly before
it was read that it may be changed again within the same tick of the clock ("racily clean").
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cache.rows import Stat, stat_of

# A file is trusted that was last changed longer ago than this, in nanoseconds: FAT's clock ticks
# every two seconds, others' every few milliseconds.
GRAIN_NS = 2_000_000_000 + 100_000_000

# File systems whose server has a clock of its own, or keeps an older answer for a while.
_REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gfs2", "ocfs2"}
    | {"glusterfs", "beegfs", "gpfs", "virtiofs", "vboxsf", "vmhgfs", "drvfs", "davfs", "fuse"}
)
_DRIVE_REMOTE = 4  # Windows: GetDriveTypeW


Opened = TypeVar("Opened")


class FileStats:
    """Stats of files that can be trusted. Any threads may ask.

    What is on a network file system that says so has none: it is read again each time.
    """

    def __init__(self) -> None:
        self._remote: dict[int, bool] = {}

    def of(self, path: str | Path) -> Stat | None:
        """Return a file's stat; None where it cannot be had or trusted."""
        try:
            status = os.stat(path)  # noqa: PTH116 - a million of them: no Path for each
        except (OSError, ValueError):
            return None
        remote = self._remote.get(status.st_dev)
        if remote is None:
            remote = self._remote[status.st_dev] = _is_remote(path, status.st_dev)
        return None if remote else stat_of(status)

    def of_open(self, path: Path, descriptor: int) -> Stat | None:
        """Return the stat of an open file, if it is settled and still the one of that name.

        It holds for as long as the file is open: if it is changed meanwhile, the next run finds
        another stat.
        """
        now = time.time_ns()
        stat = self.of(path)
        opened = stat_of(os.fstat(descriptor))
        return opened if stat == opened and is_settled(opened, now) else None

    def around(self, path: Path, opening: Callable[[], Opened]) -> tuple[Opened, Stat | None]:
        """Open a file whose descriptor is not to be had; return it with its stat as `of_open`."""
        now, before = time.time_ns(), self.of(path)
        opened = opening()
        same = before is not None and before == self.of(path) and is_settled(before, now)
        return opened, before if same else None


def is_settled(stat: Stat, now: int) -> bool:
    """Return whether any later change of a file will show in its stat.

    now: the time before its bytes were read, in nanoseconds since 1970.
    """
    return max(stat.modified, stat.changed) < now - GRAIN_NS


def _is_remote(path: str | Path, device: int) -> bool:
    if sys.platform == "win32":
        import ctypes

        drive = os.path.splitdrive(Path(path).resolve())[0]
        kind = ctypes.windll.kernel32.GetDriveTypeW(drive + "\\")
        return drive.startswith("\\\\") or kind == _DRIVE_REMOTE
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # no Linux: nothing says so
        return False
    return _remote_in(mounts, f"{os.major(device)}:{os.minor(device)}")


def _remote_in(mounts: str, device: str) -> bool:
    """Return whether a device is remote by the lines of /proc/self/mountinfo (proc(5))."""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        if before.split(" ")[2:3] == [device]:
            kind = after.split(" ")[0]
            return kind in _REMOTE or kind.startswith("fuse.")
    return False
