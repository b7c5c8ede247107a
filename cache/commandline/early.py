"""Ctrl-C before a command begins, while its modules are imported: one line, no traceback.

It needs nothing but `sys`, for it comes before everything else.
"""

import sys
from types import TracebackType

INTERRUPTED = 130


def say_interrupts() -> None:
    """Let a KeyboardInterrupt that nobody takes end this process with a line and exit code 130.

    Only where a command is run: whoever imports this product as a library keeps Python's way.
    """
    sys.excepthook = _say


def _say(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    if sys.stderr is not None:
        print("interrupted", file=sys.stderr)
    sys.exit(INTERRUPTED)
