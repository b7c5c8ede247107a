"""The standard streams of a process, also where somebody has closed them."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from cache.commandline.printable import printable

# Characters of a message; of a longer one the middle is left out.
LINE = 2000

_STDERR = 2


def mend_streams() -> None:
    """Give a process that was started with closed streams ones that lead nowhere.

    Else the next file that it opens takes their number, and what a library writes to "stderr"
    lands in that file; and `print(file=sys.stderr)` with no stderr prints on stdout.
    """
    for number in range(3):
        if not _is_open(number):
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that is not UTF-8 must not end the job
        sys.stdout.reconfigure(errors="backslashreplace")


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def tell(line: str) -> None:
    """Print a message on stderr, with whatever a terminal would obey escaped.

    Where nobody reads stderr any more, or it is full, nothing is printed.
    """
    try:
        print(printable(line, LINE), file=sys.stderr, flush=True)
    except OSError:
        _lead_nowhere(sys.stderr)
    except (RuntimeError, ValueError):
        pass  # a signal interrupted another print, into which Python forbids one; or it is closed


@contextlib.contextmanager
def native_messages_dropped() -> Iterator[None]:
    """Drop what C libraries write to the descriptor of stderr while the block runs.

    libtiff does, of each damaged strip, and Pillow offers no way to stop it. The descriptor is the
    process's, so this is for a command, once, around all its threads. Python's own stderr goes on.
    """
    settle(sys.stderr)
    saved = os.dup(_STDERR)
    stderr = sys.stderr
    try:
        if _number(stderr) == _STDERR:
            sys.stderr = open(  # noqa: SIM115, PTH123
                os.dup(saved), "w", encoding=stderr.encoding, errors=stderr.errors, buffering=1
            )
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STDERR)
        os.close(nowhere)
        yield
    finally:
        os.dup2(saved, _STDERR)
        os.close(saved)
        if sys.stderr is not stderr:
            settle(sys.stderr)
            sys.stderr.close()
            sys.stderr = stderr


def _number(stream: TextIO) -> int:
    """Return a stream's descriptor, -1 where it has none."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return -1


def settle(stream: TextIO) -> None:
    """Print what a stream still holds, or let it lead nowhere where that fails.

    Python would else complain when it flushes it at exit, and change the exit code.
    """
    try:
        stream.flush()
    except OSError:
        _lead_nowhere(stream)


def _lead_nowhere(stream: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):  # io.UnsupportedOperation is both: no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
