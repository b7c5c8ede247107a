"""Progress: lines where stderr is no terminal, a bar where it is, nothing when quiet."""

import sys

from engine.process import progress


def test_lines_with_rate_and_time_left(capsys, monkeypatch):
    clock = iter([100.0, 110.0, 140.0, 141.0, 175.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.progress(200) as bar:
        for count in (10, 30, 1, 59):
            bar.advance(count)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "40/200 images, 1.0 images/s, about 160 s left",
        "100/200 images, 1.3 images/s, about 75 s left",
    ]


def test_quiet_prints_nothing(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_INTERVAL", 0.0)
    with progress.progress(3, quiet=True) as bar:
        bar.advance(3)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar_on_stderr(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress.progress(3, "picture") as bar:
        bar.advance(2)
        bar.advance()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "0/3" in captured.err
