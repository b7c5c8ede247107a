"""Progress of long work: a callback, and what a command shows of it on stderr.

A bar with rate and time left on a terminal, quiet lines otherwise.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm

# Is told how many of how many items are done, by one thread, each time that some are.
Progress = Callable[[int, int], None]

# Seconds between two lines where stderr is not a terminal.
LINE_INTERVAL = 30.0

_LINE = re.compile(r"\d+/\d+ \w+, ")


def no_progress(done: int, total: int) -> None:
    """Show nothing."""


@contextmanager
def shown_progress(
    unit: str = "image", *, quiet: bool = False, interval: float | None = None
) -> Iterator[Progress]:
    """Give a callback that shows progress on stderr while the block runs.

    Where a total is followed by another, or fewer are done than before, work of its own has begun.

    interval: seconds between two lines; None for LINE_INTERVAL.
    """
    if quiet:
        yield no_progress
    elif sys.stderr.isatty():
        with ExitStack() as bars:
            yield _Bars(unit, bars).show
    else:
        yield _Lines(unit, LINE_INTERVAL if interval is None else interval).show


class _Bars:
    def __init__(self, unit: str, bars: ExitStack) -> None:
        self._unit, self._bars = unit, bars
        self._bar: tqdm[None] | None = None

    def show(self, done: int, total: int) -> None:
        if self._bar is None or self._bar.total != total or done < self._bar.n:
            from tqdm import tqdm  # takes longer to import than lines to print

            self._bars.close()
            bar = tqdm(total=total, unit=self._unit, dynamic_ncols=True, leave=False, smoothing=0.1)
            self._bar = self._bars.enter_context(bar)
        self._bar.update(done - self._bar.n)


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
