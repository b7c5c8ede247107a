"""A command run in a process of its own: its result, its failures in its own words."""

import logging
import sys

import pytest

from cache.failures import Failure, Interrupted, UsageFailure
from engine.process.child import run_in_child

COMMAND = """
import sys
from cache.commandline.command import command_parser, run_command
from cache.failures import Failure, UsageFailure

def act(arguments, console):
    print("a warning of a library", file=sys.stderr)
    console.say("12/34 images, 5.0 images/s, about 4 s left")
    console.say("something else")
    kind = arguments.kind
    if kind == "failure":
        raise Failure("python -m command: was asked to fail")
    if kind == "usage":
        raise UsageFailure("was asked wrongly")
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "signal":
        import os, signal
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    if kind == "crash":
        raise RuntimeError("out of luck")
    if kind == "kill":
        import os, signal
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.kill(os.getpid(), signal.SIGTERM)
    console.result({"kind": kind, "json": console.json, "quiet": console.quiet}, "no json")

parser = command_parser("python -m command", "A command.", "command")
parser.add_argument("kind")
sys.exit(run_command(parser, act))
"""


@pytest.fixture(autouse=True)
def command(tmp_path, monkeypatch):
    (tmp_path / "command.py").write_text(COMMAND)
    monkeypatch.syspath_prepend(tmp_path)


def run(kind):
    return run_in_child("command", [kind], "the work")


def test_its_json_is_returned():
    assert run("well") == b'{"kind": "well", "json": true, "quiet": true}' + (
        b"\r\n" if sys.platform == "win32" else b"\n"
    )


def test_of_what_it_says_the_progress_is_logged(capfd, caplog):
    caplog.set_level(logging.INFO)
    assert b'"quiet": false' in run("well")
    assert caplog.messages == ["12/34 images, 5.0 images/s, about 4 s left"]
    with pytest.raises(Failure, match="was asked to fail"):
        run("failure")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("kind", "failure", "message"),
    [
        ("failure", Failure, "python -m command: was asked to fail"),
        ("usage", UsageFailure, "was asked wrongly"),
        ("interrupt", Interrupted, "interrupted during the work; run the same command again"),
        ("crash", Failure, "the work failed: RuntimeError: out of luck"),
    ],
)
def test_its_failures_are_raised_in_its_own_words(kind, failure, message):
    with pytest.raises(failure) as raised:
        run(kind)
    assert type(raised.value) is failure
    assert str(raised.value) == message


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_one_that_ctrl_c_ends_before_it_begins_was_interrupted():
    with pytest.raises(Interrupted, match="interrupted during the work"):
        run("signal")


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_one_that_was_killed_says_so():
    with pytest.raises(Failure, match=r"the work was killed \(exit code -15\)"):
        run("kill")
