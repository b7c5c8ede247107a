"""What the client of a cluster makes of its workers' reports."""

import json
import logging
from types import SimpleNamespace

import pytest

from cache.failures import Failure
from cache.rows import Row
from engine.runner.processors import Processors
from engine.runner.retry import after_death, after_reading
from engine.runner.tally import Tally
from engine.runner.task import Report
from engine.runner.tasks import Task, Tasks
from engine.sources.base import Sample

SAMPLES = tuple(Sample(f"{number}.jpg", "cat") for number in range(3))


class Table(list):
    def append(self, rows):
        self.extend(rows)


def test_what_one_worker_does_not_see_is_sent_to_another():
    rows = [Row(sample.path, "cat", bytes([n]) * 32, "cached") for n, sample in enumerate(SAMPLES)]
    rows[1] = Row("1.jpg", "cat", b"", "rejected", "cannot be read: No such file or directory")
    report = Report("tcp://a:1", "x", rows, Tally(computed=2))
    written, again = after_reading(report, Task(SAMPLES), 2)
    assert written == [rows[0], rows[2]]
    assert again == [Task(SAMPLES[1:2], avoid="tcp://a:1")]
    # Nobody else is there, or another has not seen it either: it is rejected.
    for task, workers in ((Task(SAMPLES), 1), (Task(SAMPLES, avoid="c"), 2)):
        assert after_reading(report, task, workers) == (rows, [])


def test_a_task_whose_worker_dies_is_cut_until_one_image_is_left():
    tasks, tried = [Task(SAMPLES)], []
    while tasks:
        tried.append(tasks.pop())
        tasks += after_death(tried[-1])
    assert [len(task.samples) for task in tried[:2]] == [3, 3]
    for sample in SAMPLES:
        assert [t.deaths for t in tried if t.samples == (sample,)] == [1, 2]


def test_a_scheduler_that_dies_at_any_call_is_one_line():
    def dies(*_, **__):
        raise ConnectionResetError(104, "Connection reset by peer")

    client = SimpleNamespace(register_plugin=lambda _: None, scheduler_info=dies)
    tasks = Tasks(client, None)
    with pytest.raises(Failure, match=r"^the cluster failed: .*Connection reset.*same command"):
        tasks.workers()
    with pytest.raises(Failure, match=r"^the cluster failed: "):
        tasks.report(SimpleNamespace(result=dies))


def test_processors_of_several_kinds_are_told_once_and_kept(caplog):
    notes = {}
    space = SimpleNamespace(
        notes=lambda: json.loads(json.dumps(notes)),
        write_note=lambda name, payload: notes.update({name: payload}),
    )

    def run(*kinds):
        caplog.clear()
        processors = Processors(space, {"numpy": "2"})
        with caplog.at_level(logging.WARNING):
            for kind in kinds:
                processors.add(Report("w", kind, tally=Tally(computed=1)))
            processors.add(Report("w", "idle", tally=Tally(hits=1)))
            processors.add(Report("w", "other", refused="it has numpy 1"))
        return [record.message for record in caplog.records]

    assert run("x86_64 avx2", "x86_64 avx2") == []
    (line,) = run("x86_64 avx512f", "x86_64 avx2", "aarch64")
    assert "workers are of several kinds (x86_64 avx2; x86_64 avx512f)" in line
    assert run("aarch64") == []
    kept = {"processors": ["aarch64", "x86_64 avx2", "x86_64 avx512f"], "numpy": "2"}
    assert notes == {"workers": kept}
