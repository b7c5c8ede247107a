"""Progress of long work: a callback, and what a command shows of it on stderr.

A bar with rate and time left on a terminal, quiet lines otherwise.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

# Is told how many of how many items are done, by one thread, each time that some are.
Progress = Callable[[int, int], None]

# Seconds between two lines where stderr is not a terminal.
LINE_INTERVAL = 30.0

_LINE = re.compile(r"\d+/\d+ \w+, ")


def no_progress(done: int, total: int) -> None:
    """Show nothing."""


class ProgressBar:
    """A bar with rate and time left, on a terminal or in a notebook, as a progress callback.

    >>> from onceover import CachedBackbone, ProgressBar
    >>> backbone = CachedBackbone(cache="pets", progress=ProgressBar())

    Where a total is followed by another, or fewer are done than before, work of its own has begun.
    """

    def __init__(self, unit: str = "image", *, leave: bool = True) -> None:
        """Make a bar, which appears with the first call. leave: whether it stays when it is full.

        unit: what is counted.
        """
        self._unit, self._leave = unit, leave
        self._bar: tqdm[None] | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        if self._bar is None or self._bar.total != total or done < self._bar.n:
            # Either takes longer to import than lines to print.
            if "ipykernel" in sys.modules:
                from tqdm.auto import tqdm
            else:
                from tqdm import tqdm

            self.close()
            self._bar = tqdm(
                total=total,
                unit=self._unit,
                dynamic_ncols=True,
                leave=self._leave,
                smoothing=0.1,
            )
        self._bar.update(done - self._bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy begins with: no bar is under way in it."""
        return {**self.__dict__, "_bar": None}


@contextmanager
def shown_progress(
    unit: str = "image", *, quiet: bool = False, interval: float | None = None
) -> Iterator[Progress]:
    """Give a callback that shows progress on stderr while the block runs.

    interval: seconds between two lines; None for LINE_INTERVAL.
    """
    if quiet:
        yield no_progress
    elif sys.stderr.isatty():
        bar = ProgressBar(unit, leave=False)
        try:
            yield bar
        finally:
            bar.close()
    else:
        yield _Lines(unit, LINE_INTERVAL if interval is None else interval).show


class _Lines:
    def __init__(self, unit: str, interval: float) -> None:
        self._unit, self._interval = unit, interval
        self._done, self._total = 0, -1
        self._start = self._last = time.monotonic()

    def show(self, done: int, total: int) -> None:
        now = time.monotonic()
        if total != self._total or done < self._done:
            self._total, self._start, self._last = total, now, now
        self._done = done
        if now - self._last < self._interval or not done:
            return
        self._last = now
        rate = done / max(now - self._start, 1e-9)
        print(
            f"{done}/{total} {self._unit}s, {rate:.1f} {self._unit}s/s, "
            f"about {max(0, total - done) / rate:.0f} s left",
            file=sys.stderr,
            flush=True,
        )


def is_progress(line: str) -> bool:
    """Tell whether a line is one that `shown_progress` prints."""
    return _LINE.match(line) is not None
