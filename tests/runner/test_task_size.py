"""engine.runner.task_size: tasks that cost the scheduler little, and leave no thread idle."""

import heapq

import pytest

from engine.runner.task_size import FIRST, MOST, TaskSize

# What the scheduler needs for a task, measured: benchmarks/scheduler.py.
TASK_SECONDS = 0.002


def simulated(threads, images, image_seconds):
    """Return how many tasks a job has, and how many seconds it takes: each goes to who is free."""
    size, left, tasks = TaskSize(), images, 0
    ends = [(0.0, 0, 0)] * threads
    while left:
        now, samples, took = heapq.heappop(ends)
        size.add(range(samples), took)
        samples = min(left, size.next(threads, left))
        left, tasks = left - samples, tasks + 1
        took = samples * image_seconds
        heapq.heappush(ends, (now + took, samples, took))
    return tasks, max(end for end, *_ in ends)


@pytest.mark.parametrize(
    ("threads", "images", "image_seconds"),
    [
        (1, 10_000, 0.004),
        (2, 20_000, 0.004),
        (8, 100_000, 0.075),
        (100, 10_000_000, 0.004),
        (100, 10_000_000, 0.075),
        (200, 100_000_000, 0.004),
    ],
)
def test_the_scheduler_does_little_and_no_thread_waits_long(threads, images, image_seconds):
    tasks, seconds = simulated(threads, images, image_seconds)
    assert tasks * TASK_SECONDS / seconds < 0.02
    assert seconds < 1.02 * images * image_seconds / threads + 3


def test_a_task_is_never_larger_than_its_list_of_names_may_be():
    size = TaskSize()
    size.add(range(64), 0.0001)
    assert size.next(4, 10**9) == MOST


def test_few_images_are_shared_by_all_threads():
    size = TaskSize()
    assert size.next(10, 100) == 5
    assert size.next(1000, 100) == 1
    assert size.next(0, 10**6) == FIRST
    size.add(range(3), 0.001)
    assert size.next(10, 100) == 10
    assert size.next(10, 0) == 1


def test_a_rate_that_changes_is_followed_and_an_empty_task_tells_nothing():
    size = TaskSize()
    size.add(range(100), 1.0)
    size.add([], 100.0)
    assert size.next(1, 10**9) == 200
    for _ in range(40):
        size.add(range(100), 10.0)
    assert size.next(1, 10**9) == 20
