"""Ctrl-C as a request: what is under way ends, and only then the job."""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_log = logging.getLogger(__name__)


@contextmanager
def stop_request() -> Iterator[threading.Event]:
    """Give an event that the first Ctrl-C (or SIGTERM) sets; the second one interrupts at once.

    For a command: it takes over the signals of the process while the block runs. Outside the main
    thread, where Python delivers no signals, nobody sets the event.
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
            _log.info("stopping: finishing what is under way (again to stop at once)")

    signals = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, request) for number in signals]
    try:
        yield requested
    finally:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)
