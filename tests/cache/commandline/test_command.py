"""How a command speaks and ends: what is logged, streams that are closed, exit codes."""

import json
import logging
import signal
import subprocess
import sys
import warnings

import pytest

from cache.commandline.command import command_parser, run_command
from cache.failures import Failure

COMMAND = """
import logging
import sys
from cache.commandline.command import command_parser, run_command

def act(arguments, console):
    logging.getLogger("cache.store").info("a message")
    logging.getLogger("cache.store").warning("a warning")
    logging.getLogger("PIL.Image").warning("a stranger's")
    logging.getLogger("engine.runner").debug("a detail")
    print("a library's own", file=sys.stderr)
    console.result({"sum": 1}, "1")

sys.exit(run_command(command_parser("command", "A command.", "command"), act))
"""


def ended(redirection, *options):
    """Return exit code, stdout and stderr of the command, started as a shell does."""
    words = [sys.executable, "-c", COMMAND, *options]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *words], capture_output=True, encoding="utf-8"
    )
    return done.returncode, done.stdout, done.stderr


needs_a_shell = pytest.mark.skipif(sys.platform == "win32", reason="closes streams as sh does")


def run(action, *argv):
    return run_command(command_parser("command", "A command.", "command"), action, argv)


@needs_a_shell
@pytest.mark.parametrize(
    ("redirection", "code", "out", "err"),
    [
        ("", 0, '{"sum": 1}\n', "a message\nwarning: a warning\na library's own\n"),
        ("2>&-", 0, '{"sum": 1}\n', ""),
        (">&-", 0, "", "a message\nwarning: a warning\na library's own\n"),
        ("<&- >&- 2>&-", 0, "", ""),
        ("2>/dev/full", 0, '{"sum": 1}\n', ""),
        ("| true; exit 1", 1, "", "a message\nwarning: a warning\na library's own\n"),
        (
            ">/dev/full",
            1,
            "",
            (
                "a message\nwarning: a warning\na library's own\n"
                "command: No space left on device; free some space and run the same command again; "
                "finished work is kept\n"
            ),
        ),
    ],
)
def test_streams_that_are_closed_full_or_unread_spoil_nothing(redirection, code, out, err):
    found = ended(redirection, "--json")
    assert found == (code, out, err)


@needs_a_shell
def test_help_that_nobody_reads_to_its_end_is_no_complaint():
    code, _, err = ended("| true", "--help")
    assert (code, err) == (0, "")
    code, _, err = ended(">/dev/full", "--help")
    assert "Traceback" not in err
    assert "Exception ignored" not in err


@needs_a_shell
def test_the_next_file_is_not_taken_for_a_stream_that_was_closed(tmp_path):
    program = f"""
import os
from cache.commandline.command import command_parser, run_command

def act(arguments, console):
    with open({str(tmp_path / "part")!r}, "wb"):
        os.write(2, b"what a library in C complains about")

run_command(command_parser("command", "A command.", "command"), act, [])
"""
    words = [sys.executable, "-c", program]
    subprocess.run(["sh", "-c", '"$@" 2>&-', "sh", *words], check=True)
    assert (tmp_path / "part").read_bytes() == b""


@pytest.mark.filterwarnings("default")
def test_messages_are_printed_unless_quiet_and_warnings_always(capsys):
    def act(*_):
        logging.getLogger("cache.store").info("%d parts", 2)
        logging.getLogger("engine.runner.extract").warning("a name\nof \x1b[31mtwo lines")
        warnings.warn("old", stacklevel=1)
        logging.getLogger("engine").debug("a detail")
        logging.getLogger("PIL").error("a stranger's")

    assert run(act) == 0
    told = "warning: a name\\nof \\x1b[31mtwo lines\nwarning: old\n"
    assert capsys.readouterr() == ("", f"2 parts\n{told}")
    assert run(act, "--quiet") == 0
    assert capsys.readouterr() == ("", told)


def test_the_loggers_are_afterwards_as_they_were():
    names = ("", "cache", "engine", "onceover")
    states = [(logging.getLogger(n).level, list(logging.getLogger(n).handlers)) for n in names]

    def act(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(act)
    assert run(lambda *_: None) == 0
    assert states == [
        (logging.getLogger(n).level, list(logging.getLogger(n).handlers)) for n in names
    ]


def test_a_result_is_one_json_value(capsys):
    assert run(lambda _, console: console.result({"a": 1}, "one"), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"a": 1}


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "command: interrupted; finished work is kept"),
        (MemoryError(), 1, "command: out of memory"),
        (PermissionError(13, "Permission denied", "file"), 1, "command: file: Permission denied"),
    ],
)
def test_what_ends_a_command_is_one_line(capsys, error, code, line):
    def act(*_):
        raise error

    assert run(act) == code
    err = capsys.readouterr().err
    assert err.startswith(line)
    assert err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="sends itself Ctrl-C as POSIX does")
@pytest.mark.parametrize("error", [ImportError("PyCapsule_Import"), Failure("cannot be loaded")])
def test_an_interrupt_that_a_library_makes_another_error_of_is_one(capsys, error):
    def act(*_):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as interrupt:
            raise error from interrupt

    assert run(act) == 130
    assert capsys.readouterr().err.startswith("command: interrupted; finished work is kept")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_fault_of_ours_keeps_its_traceback():
    def act(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as fault:
        run(act)
    assert fault.traceback[-1].name == "act"
