"""What is sent once more of a task that came back, and what of one whose worker died."""

from collections.abc import Sequence
from dataclasses import replace

from cache.rows import Row
from engine.runner.task import Report
from engine.runner.tasks import Task

# Into how many tasks one is cut whose worker died twice under it.
_CUTS = 8

# How often a task's worker may die before it is cut; an image's, alone, before it is rejected.
_DEATHS = 2


def after_reading(report: Report, task: Task, workers: int) -> tuple[Sequence[Row], list[Task]]:
    """Return the rows that count of a report, and a task of what another worker may read.

    workers: how many there are.
    """
    unread = {row.path for row in report.rows if not row.digest}
    if not unread or task.avoid or workers < 2:
        return report.rows, []
    rows = [row for row in report.rows if row.path not in unread]
    left = tuple(sample for sample in task.samples if sample.path in unread)
    return rows, [Task(left, avoid=report.worker)]


def after_death(task: Task) -> list[Task]:
    """Return what to try of a task whose worker died; nothing where its one image kills each.

    Whole at first, for most deaths have other reasons; then in pieces; an image alone at last.
    """
    count, deaths = len(task.samples), task.deaths + 1
    if deaths < _DEATHS:
        return [replace(task, deaths=deaths)]
    if count > 1:
        step = -(-count // _CUTS)
        pieces = [task.samples[start : start + step] for start in range(0, count, step)]
        # One image begins anew: now nothing runs beside it.
        return [Task(piece, 0 if len(piece) > 1 else 1) for piece in pieces]
    return [replace(task, deaths=deaths)] if deaths <= _DEATHS else []
