"""What a task costs the scheduler of a Dask cluster and its client: tasks of no work.

python -m benchmarks.scheduler --tasks 40000 --samples 2500

Scheduler and client are this process, one worker another: what is measured is their sum, as
processor time, which hangs on no other work of the machine. Then fewer tasks with as many samples
to and rows fro as an extraction has. From both follows what share of a core they need for a
cluster of so many cores, whose tasks are as large as `engine.runner.task_size` makes them.
"""

import argparse
import queue
import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.measuring.options import benchmark_parser, finish, positive
from benchmarks.measuring.record import table
from cache.commandline.command import Console, run_command
from cache.rows import Row, Stat
from engine.runner.connection import connect
from engine.runner.task import Report
from engine.runner.task_size import TaskSize
from engine.runner.wire import packed_report, packed_samples, unpacked_report, unpacked_samples
from engine.sources.base import Sample

# Tasks that are with the scheduler at any time: of 256 threads, twice as many.
_AHEAD = 512

# Seconds that a core needs for an image, measured: docs/scale.md.
_IMAGE_SECONDS = {"VGG16 fc2, int8": 1 / 13.4, "MobileNetV2": 1 / 248}
_CORES = (100, 400)
_IMAGES = 10_000_000


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report; return the exit code."""
    parser = benchmark_parser("scheduler", (__doc__ or "").splitlines()[0], "--tasks 40000")
    parser.add_argument("--tasks", type=positive, default=40_000, help="of no work (40000)")
    parser.add_argument("--samples", type=positive, default=2_500, help="of a full task (2500)")
    parser.add_argument("--full", type=positive, default=200, help="tasks with samples (200)")
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    if arguments.quick:
        arguments.tasks, arguments.full, arguments.samples = 200, 5, 100
    empty = _measured(arguments.tasks, 0)
    console.say(f"{arguments.tasks:,} tasks of no work: {empty['seconds']} s")
    full = _measured(arguments.full, arguments.samples)
    task = empty["cpu_milliseconds_a_task"] / 1000
    image = max(0.0, full["cpu_milliseconds_a_task"] / 1000 - task) / arguments.samples
    shares = [_share(name, cores, task, image) for name in _IMAGE_SECONDS for cores in _CORES]
    results = {"empty": empty, "full": {**full, "samples": arguments.samples}, "shares": shares}
    finish(arguments, console, "scheduler", results, summary(results))


def _measured(tasks: int, samples: int) -> dict[str, float]:
    """Return what so many tasks took, each with so many samples."""
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    names = [Sample(f"a folder/{number:012d}.jpg", "a class") for number in range(samples)]
    with connect("local:1") as client:
        started, cpu = time.perf_counter(), time.process_time()
        under_way = set()
        for number in range(tasks):
            sent = packed_samples(names)
            future = client.submit(report_of, sent, key=f"none-{number}", pure=False)
            future.add_done_callback(done.put)
            under_way.add(future)
            if len(under_way) == _AHEAD:
                _take(done.get(), under_way)
        while under_way:
            _take(done.get(), under_way)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "tasks": tasks,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "cpu_milliseconds_a_task": round(1000 * cpu / tasks, 4),
        "peak_mb": round(memory),
    }


def _take(future: Any, under_way: set[Any]) -> None:
    under_way.discard(future)
    unpacked_report(future.result())


def report_of(samples: bytes) -> bytes:
    """Return a report as a task does, in a worker's process."""
    rows = [
        Row(sample.path, sample.label, bytes(32), "cached", "", None, Stat(2**17, 0, 0, 2**60))
        for sample in unpacked_samples(samples)
    ]
    return packed_report(Report("tcp://127.0.0.1:40000", "x86_64 avx2", rows))


def _share(name: str, cores: int, task: float, image: float) -> dict[str, Any]:
    """Return what share of a core the scheduler needs for tasks, and the client for images."""
    seconds = _IMAGE_SECONDS[name]
    size = TaskSize()
    size.add(range(64), 64 * seconds)
    samples = size.next(cores, _IMAGES)
    tasks_a_second = cores / (samples * seconds)
    return {
        "backbone": name,
        "cores": cores,
        "samples_a_task": samples,
        "task_seconds": round(samples * seconds, 1),
        "share_of_tasks": round(tasks_a_second * task, 5),
        "share_of_images": round(cores / seconds * image, 5),
    }


def summary(results: dict[str, Any]) -> str:
    """Return what was measured, and the table of shares."""
    empty, full = results["empty"], results["full"]
    rows = [
        [
            share["backbone"],
            f"{share['cores']}",
            f"{share['samples_a_task']:,}",
            f"{share['task_seconds']:.0f}",
            f"{100 * share['share_of_tasks']:.2f} %",
            f"{100 * share['share_of_images']:.1f} %",
        ]
        for share in results["shares"]
    ]
    header = ["", "cores", "samples a task", "its seconds", "of a core, for tasks", "for images"]
    return (
        f"{empty['tasks']:,} tasks of no work: {empty['seconds']} s, "
        f"{empty['cpu_milliseconds_a_task']:.2f} ms of processor time each, "
        f"peak {empty['peak_mb']:,} MB\n"
        f"{full['tasks']:,} tasks of {full['samples']:,} samples: "
        f"{full['cpu_milliseconds_a_task']:.1f} ms of processor time each\n\n"
        f"{table(header, rows)}"
    )


if __name__ == "__main__":
    sys.exit(main())
