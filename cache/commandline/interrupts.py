"""Ctrl-C, noticed also where a library makes another error of it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_noticed() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C sets before it raises KeyboardInterrupt as it always does.

    Modules in C that are being imported turn KeyboardInterrupt into an ImportError, for instance.
    Outside the main thread, and where somebody else handles Ctrl-C, nobody sets it.
    """
    noticed = threading.Event()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield noticed
        return

    def notice(number: int, frame: FrameType | None) -> None:
        noticed.set()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, notice)
    try:
        yield noticed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
