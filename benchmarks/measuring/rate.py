"""How fast some work is, done again and again."""

import time
from collections.abc import Callable


def rate(work: Callable[[], object], images: int, seconds: float) -> float:
    """Return images a second over some seconds, after a first time that does not count."""
    work()
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds or not done:
        work()
        done += images
    return done / (time.perf_counter() - started)
