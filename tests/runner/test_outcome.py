"""What the client of a cluster makes of its workers' reports."""

import json
import logging
import threading
from types import SimpleNamespace

import pytest

from cache.failures import Failure
from cache.rows import Row
from engine.process.execution import Execution
from engine.runner.cluster import _Run
from engine.runner.outcome import Outcome
from engine.runner.processors import Processors
from engine.runner.tally import Tally
from engine.runner.task import Report
from engine.runner.tasks import Task, Tasks
from engine.sources.base import Listing, Sample

SAMPLES = tuple(Sample(f"{number}.jpg", "cat") for number in range(3))


class Table(list):
    def append(self, rows):
        self.extend(rows)


def accepted(report, task, workers):
    """Return the rows that are written of a report, and the tasks that are sent once more."""
    source = SimpleNamespace(remote=False, listing=Listing(SAMPLES))
    survey = SimpleNamespace(source=source, samples=SAMPLES)
    table = Table()
    run = _Run(survey, None, table, Execution(stop=threading.Event()))
    tasks = SimpleNamespace(workers=lambda: dict.fromkeys(workers, 1), refused={})
    again = run._accepted(report, task, tasks, Outcome(table, Tally(), source))
    return [row.path for row in table], again


def test_what_one_worker_does_not_see_is_sent_to_another():
    rows = [Row(sample.path, "cat", bytes([n]) * 32, "cached") for n, sample in enumerate(SAMPLES)]
    rows[1] = Row("1.jpg", "cat", b"", "rejected", "cannot be read: No such file or directory")
    report = Report("tcp://a:1", "x", rows, Tally(computed=2))
    written, again = accepted(report, Task(SAMPLES), ["tcp://a:1", "tcp://b:1"])
    assert written == ["0.jpg", "2.jpg"]
    assert again == [Task(SAMPLES[1:2], avoid="tcp://a:1")]
    # Nobody else is there, or another has not seen it either: it is rejected.
    for task, workers in ((Task(SAMPLES), ["tcp://a:1"]), (Task(SAMPLES, avoid="c"), ["a", "c"])):
        written, again = accepted(report, task, workers)
        assert (len(written), again) == (3, [])


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
    processors, notes = Processors(), {}
    space = SimpleNamespace(write_note=lambda name, payload: notes.update({name: payload}))
    job = SimpleNamespace(kind=SimpleNamespace(packages={"numpy": "2"}))
    with caplog.at_level(logging.WARNING):
        for kind in ("x86_64 avx2", "x86_64 avx2", "x86_64 avx512f", "aarch64"):
            processors.add(Report("w", kind))
        processors.add(Report("w", "other", refused="it has numpy 1"))
    (record,) = caplog.records
    assert "workers are of several kinds (x86_64 avx2; x86_64 avx512f)" in record.message
    processors.record(space, job)
    kept = {"processors": ["aarch64", "x86_64 avx2", "x86_64 avx512f"], "numpy": "2"}
    assert json.loads(json.dumps(notes)) == {"workers": kept}
