"""What the scheduler of a Dask cluster needs for a task: tasks of no work, a few at a time.

python -m benchmarks.scheduler --tasks 40000
"""

import argparse
import json
import queue
import resource
import sys
import time
from collections.abc import Sequence

from engine.runner.connection import connect

# Tasks that are with the scheduler at any time: of 256 threads, twice as many.
_AHEAD = 512


def measure(tasks: int) -> dict[str, float]:
    """Return the seconds for so many tasks of no work, and this process's peak memory in MB.

    Scheduler and client are this process, one worker another: what is measured is their sum.
    """
    done: queue.SimpleQueue[object] = queue.SimpleQueue()
    with connect("local:1") as client:
        started = time.perf_counter()
        under_way = set()
        for number in range(tasks):
            future = client.submit(abs, number, key=f"none-{number}", pure=False)
            future.add_done_callback(done.put)
            under_way.add(future)
            if len(under_way) == _AHEAD:
                under_way.discard(done.get())
        while under_way:
            under_way.discard(done.get())
        seconds = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "tasks": tasks,
        "seconds": round(seconds, 2),
        "milliseconds_a_task": round(1000 * seconds / tasks, 3),
        "peak_mb": round(memory),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print a JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=40_000)
    print(json.dumps(measure(parser.parse_args(argv).tasks)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
