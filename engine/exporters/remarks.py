"""What an export says on its way, for the record: whoever takes the model is told again."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Collected(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.remarks: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.remarks.append((record.levelno, record.getMessage()))


@contextmanager
def collected_remarks() -> Iterator[list[tuple[int, str]]]:
    """Give the list of (level, text) of all that this room logs while the block runs."""
    logger, handler = logging.getLogger("engine.exporters"), _Collected()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield handler.remarks
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
