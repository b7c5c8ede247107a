"""How many samples a task of a cluster has: by the rate that tasks had before."""

from collections.abc import Sequence

# The scheduler needs some two milliseconds for a task (benchmarks/scheduler.py). A task takes so
# many seconds for each thread that there is, and at least so many in all: then that is 0.4 % of the
# scheduler's time.
_SECONDS_A_THREAD, _SECONDS = 0.5, 2.0

# Until a rate is known; and the most, of which the names alone are some megabytes.
FIRST, MOST = 64, 16_384

# Towards the end tasks are smaller, down to _SECONDS, so that threads end at about the same time:
# what is left is cut into so many for each.
_TASKS_A_THREAD = 2

# How much the latest task counts against those before.
_WEIGHT = 0.3


class TaskSize:
    """Chooses how many samples the next task has."""

    def __init__(self) -> None:
        self._seconds: float | None = None

    def add(self, rows: Sequence[object], seconds: float) -> None:
        """Learn what a task took on one thread. rows: one for each of its samples."""
        if not rows:
            return
        each = seconds / len(rows)
        before = each if self._seconds is None else self._seconds
        self._seconds = before + _WEIGHT * (each - before)

    def next(self, threads: int, left: int) -> int:
        """Return how many samples the next task has, at least 1.

        threads: how many the cluster has now. left: how many samples no task has yet.
        """
        threads = max(1, threads)
        fair = left // (_TASKS_A_THREAD * threads)
        if self._seconds is None:
            return max(1, min(FIRST, fair))
        rate = 1 / max(self._seconds, 1e-6)
        most = min(MOST, int(rate * max(_SECONDS, _SECONDS_A_THREAD * threads)))
        least = min(most, int(rate * _SECONDS), -(-left // threads))
        return max(1, least, min(most, fair))
