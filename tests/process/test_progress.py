"""Progress: lines where stderr is no terminal, a bar where it is, nothing when quiet."""

import pickle
import sys

from engine.process import progress
from engine.process.progress import shown_progress


def test_lines_with_rate_and_time_left(capsys, monkeypatch):
    clock = iter([100.0, 100.0, 110.0, 140.0, 141.0, 175.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with shown_progress() as show:
        for done in (0, 10, 40, 41, 100):
            show(done, 200)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "40/200 images, 1.0 images/s, about 160 s left",
        "100/200 images, 1.3 images/s, about 75 s left",
    ]


def test_another_total_is_other_work_with_a_rate_of_its_own(capsys, monkeypatch):
    clock = iter([0.0, 0.0, 40.0, 50.0, 90.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with shown_progress("megabyte") as show:
        show(0, 80)
        show(80, 80)
        show(0, 90)
        show(40, 90)
    assert capsys.readouterr().err.splitlines() == [
        "80/80 megabytes, 2.0 megabytes/s, about 0 s left",
        "40/90 megabytes, 1.0 megabytes/s, about 50 s left",
    ]


def test_quiet_prints_nothing(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_INTERVAL", 0.0)
    with shown_progress(quiet=True) as show:
        show(3, 3)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar_on_stderr(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with shown_progress("picture") as show:
        show(2, 3)
        show(3, 3)
        show(1, 5)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "0/3" in captured.err
    assert "0/5" in captured.err


def test_a_bar_is_copied_without_the_work_under_way(capsys):
    bar = progress.ProgressBar()
    bar(1, 4)
    copy = pickle.loads(pickle.dumps(bar))
    copy(2, 3)
    copy.close()
    bar(4, 4)
    shown = capsys.readouterr().err
    assert "2/3" in shown
    assert "4/4" in shown
