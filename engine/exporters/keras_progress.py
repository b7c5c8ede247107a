"""The progress that Keras prints of its downloads, shown as this product's own."""

import io
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TextIO

from engine.process.progress import Progress, progress

# Seconds between two lines where there is no bar: somebody waits for this one.
_INTERVAL = 5.0

_MEGABYTE = 1_000_000

# What `keras.utils.Progbar` prints: `120000/553467096` and a bar, in colours, after as many
# backspaces as it printed before.
_STYLE = re.compile(r"\x1b\[\d*m|[\b\r\n]")
_COUNT = re.compile(r" *(\d+)/(\d+) ")


@contextmanager
def shown_downloads(*, quiet: bool) -> Iterator[TextIO]:
    """Give a stream to which Keras may print while the block runs."""
    with ExitStack() as bars:
        yield _KerasOutput(bars, quiet=quiet)


class _KerasOutput(io.TextIOBase, TextIO):
    """Shows counts as progress, and passes other text on to stderr."""

    def __init__(self, bars: ExitStack, *, quiet: bool) -> None:
        self._bars, self._quiet = bars, quiet
        self._total = self._done = 0
        self._bar: Progress | None = None

    def write(self, text: str) -> int:
        found = _COUNT.match(_STYLE.sub("", text))
        if found is not None:
            self._show(int(found[1]), int(found[2]))
        elif not self._quiet:
            sys.stderr.write(text)
        return len(text)

    def _show(self, done: int, total: int) -> None:
        if self._bar is None or total != self._total or done < self._done:  # another file
            self._bars.close()
            self._bar = self._bars.enter_context(
                progress(
                    max(1, round(total / _MEGABYTE)),
                    "megabyte",
                    quiet=self._quiet,
                    interval=_INTERVAL,
                )
            )
            self._total = total
            self._done = 0
        new = round(done / _MEGABYTE) - round(self._done / _MEGABYTE)
        if new > 0:
            self._bar.advance(new)
        self._done = done
