"""The progress that Keras prints of its downloads, as this product's own."""

import io
import logging
import re
from typing import TextIO

from engine.process.progress import Progress

_log = logging.getLogger(__name__)

_MEGABYTE = 1_000_000

# What `keras.utils.Progbar` prints: `120000/553467096` and a bar, in colours, after as many
# backspaces as it printed before.
_STYLE = re.compile(r"\x1b\[\d*m|[\b\r\n]")
_COUNT = re.compile(r" *(\d+)/(\d+) ")


class KerasOutput(io.TextIOBase, TextIO):
    """A stream for Keras to print to: counts are progress in megabytes, other text is logged."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def write(self, text: str) -> int:
        """Take what Keras prints; return how many characters that is."""
        plain = _STYLE.sub("", text)
        count = _COUNT.match(plain)
        if count is not None:
            done, total = (round(int(part) / _MEGABYTE) for part in count.groups())
            self._progress(done, max(1, total))
        elif plain.strip():
            _log.info("%s", plain.strip())
        return len(text)
