"""Ctrl-C as a request: what is under way ends, and only then the job."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_request(say: Callable[[str], None]) -> Iterator[threading.Event]:
    """Give an event that the first Ctrl-C (or SIGTERM) sets; the second one interrupts at once.

    Outside the main thread, where Python delivers no signals, nobody sets it.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested
        return

    def request(number: int, frame: FrameType | None) -> None:
        if requested.is_set():
            signal.default_int_handler(number, frame)
        requested.set()
        # Python forbids a print into the middle of one that the signal has interrupted.
        with contextlib.suppress(RuntimeError):
            say("stopping: finishing what is under way (again to stop at once)")

    signals = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, request) for number in signals]
    try:
        yield requested
    finally:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)
