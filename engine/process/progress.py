"""Progress of long work: a bar with rate and time left on a terminal, quiet lines otherwise."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tqdm import tqdm

# Seconds between two lines where stderr is not a terminal.
LINE_INTERVAL = 30.0

_LINE = re.compile(r"\d+/\d+ \w+, ")


class Progress(Protocol):
    """Something that can be told how far the work is."""

    def advance(self, count: int = 1) -> None:
        """Say that `count` more items are done."""


class _Silent:
    def advance(self, count: int = 1) -> None:
        pass


class _Bar:
    def __init__(self, bar: "tqdm[None]") -> None:
        self._bar = bar

    def advance(self, count: int = 1) -> None:
        self._bar.update(count)


class _Lines:
    def __init__(self, total: int, unit: str, interval: float) -> None:
        self._total, self._unit, self._interval = total, unit, interval
        self._done = 0
        self._start = self._last = time.monotonic()

    def advance(self, count: int = 1) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._last < self._interval:
            return
        self._last = now
        rate = self._done / max(now - self._start, 1e-9)
        left = max(0, self._total - self._done) / rate
        print(
            f"{self._done}/{self._total} {self._unit}s, {rate:.1f} {self._unit}s/s, "
            f"about {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )


@contextmanager
def progress(
    total: int, unit: str = "image", *, quiet: bool = False, interval: float | None = None
) -> Iterator[Progress]:
    """Show the progress of `total` items on stderr while the block runs.

    interval: seconds between two lines; None for LINE_INTERVAL.
    """
    if quiet:
        yield _Silent()
    elif sys.stderr.isatty():
        from tqdm import tqdm  # takes longer to import than lines to print

        with tqdm(total=total, unit=unit, dynamic_ncols=True, leave=False, smoothing=0.1) as bar:
            yield _Bar(bar)
    else:
        yield _Lines(total, unit, LINE_INTERVAL if interval is None else interval)


def is_progress(line: str) -> bool:
    """Tell whether a line is one that `progress` prints."""
    return _LINE.match(line) is not None
