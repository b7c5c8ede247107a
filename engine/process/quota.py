"""What the control groups of Linux, and so containers, leave a process of the cores' time."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

# Where Linux says which control group a process is in, and where the groups are.
_MEMBERSHIP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def core_quota() -> float:
    """Return how many cores' time the control groups of this process leave it; infinite if all.

    A container's quota is time, not cores: more threads than that are stopped in turn.
    """
    return min(_quotas(), default=math.inf)


def _quotas() -> Iterator[float]:
    """Yield the quotas, in cores, of the control groups that this process is in."""
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:
        return  # not Linux
    for line in lines:
        _, controllers, group = (*line.split(":", 2), "", "")[:3]
        if controllers == "":  # version 2 has one tree
            folders, read = _upwards(_GROUPS, group), _quota
        elif "cpu" in controllers.split(","):
            folders, read = _upwards(_GROUPS / "cpu", group), _quota_of_version_1
        else:
            continue
        for folder in folders:
            # A container sees its own group as the root, under the host's name for it.
            with contextlib.suppress(OSError, ValueError):
                yield read(folder)


def _upwards(root: Path, group: str) -> list[Path]:
    """Return the folders of a group and of those that it is in."""
    parts = Path(group.lstrip("/")).parts
    return [root.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _quota(folder: Path) -> float:
    """Return a group's quota in cores. ValueError where it has none."""
    quota, period = (folder / "cpu.max").read_text().split()
    return int(quota) / int(period)


def _quota_of_version_1(folder: Path) -> float:
    quota = int((folder / "cpu.cfs_quota_us").read_text())
    if quota <= 0:
        raise ValueError("no quota")
    return quota / int((folder / "cpu.cfs_period_us").read_text())
