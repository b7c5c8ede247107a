"""What the libraries of this product report, as lines on stderr while a command runs."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TextIO

from cache.commandline.streams import native_messages_dropped, tell

# The loggers of this product; each module's is below one of them.
_LOGGERS = ("cache", "engine", "onceover")


class _Lines(logging.Handler):
    """Prints messages as they are, and warnings as warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        warning = record.levelno >= logging.WARNING
        tell(f"{'warning: ' if warning else ''}{record.getMessage()}")


@contextmanager
def messages_shown(*, quiet: bool) -> Iterator[None]:
    """Print what is logged, and Python's warnings, on stderr while the block runs.

    `info` is printed unless quiet, `warning` always; what other libraries log is not, nor, if
    quiet, what they write from C.
    """
    lines = _Lines(logging.WARNING if quiet else logging.INFO)
    silence = logging.NullHandler()  # else Python prints the warnings of libraries itself
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(lines)
        logger.setLevel(lines.level)
    logging.getLogger().addHandler(silence)
    try:
        native = native_messages_dropped() if quiet else nullcontext()
        with native, warnings.catch_warnings():
            warnings.showwarning = _show
            yield
    finally:
        logging.getLogger().removeHandler(silence)
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(lines)
            logger.setLevel(level)


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning of Python's like the command's own, without file and line number."""
    del category, filename, lineno, file, line
    tell(f"warning: {message}")
