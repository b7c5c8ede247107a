"""A command of this product run in a process of its own, which takes its memory when it ends."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

import engine
from cache.commandline.early import INTERRUPTED
from cache.failures import Failure, Interrupted, UsageFailure
from engine.process.progress import is_progress

_log = logging.getLogger(__name__)

# Lines of a child's stderr that are kept, for the last of them say what went wrong.
_KEPT = 100

# Seconds that an interrupted child has to clean up.
_GRACE = 1.0


def run_in_child(module: str, arguments: Sequence[str], what: str) -> bytes:
    """Run `python -m MODULE ARGUMENTS --json`; return what it prints on stdout.

    The lines of progress that it prints are logged; where nobody would see them it runs quietly.

    what: names the work in messages, as in `the export`.

    Raises:
        Failure, UsageFailure: the command's own failure, in its own words.
        Interrupted: Ctrl-C reached it.
    """
    quiet = [] if _log.isEnabledFor(logging.INFO) else ["--quiet"]
    command = [sys.executable, "-c", _bootstrap(), module, *arguments, "--json", *quiet]
    lines: deque[str] = deque(maxlen=_KEPT)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        follower = threading.Thread(target=_follow, args=(child.stderr, lines))
        follower.start()
        try:
            result = child.stdout.read()
            code = child.wait()
        except BaseException:
            try:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(_GRACE)  # Ctrl-C reaches it too
            finally:
                child.kill()
            raise
        finally:
            follower.join()
    if code == 0:
        return result
    if code in (INTERRUPTED, -signal.SIGINT):
        raise Interrupted(f"interrupted during {what}; run the same command again")
    if code < 0 or not lines:
        raise Failure(
            f"{what} was killed (exit code {code}); it needs up to 3 GB of memory, "
            "so close other programs and run the same command again"
        )
    # The command's own line, or the last one of a traceback.
    own = f"python -m {module}: "
    failure = UsageFailure if code == UsageFailure.exit_code else Failure
    if lines[-1].startswith(own):
        raise failure(lines[-1].removeprefix(own))
    raise failure(f"{what} failed: {lines[-1]}")


def _bootstrap() -> str:
    """Return a program that runs the module named by its first argument, like `python -m`.

    It ends with this process, however this one ends. It imports from where this process does, but
    not from the current folder, where a user's own `cache.py` or `random.py` may lie; unless this
    product itself is there.
    """
    here, home = Path.cwd(), Path(engine.__file__).parents[1]
    paths = [
        path for path in sys.path if here / path in (home, home.resolve()) or here / path != here
    ]
    return (
        f"import sys; sys.path[:] = {paths!r}; "
        "from cache.commandline.early import say_interrupts; say_interrupts(); "
        f"from engine.process.parent import end_with; end_with({os.getpid()}); import runpy; "
        'runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)'
    )


def _follow(stream: Iterable[bytes], lines: deque[str]) -> None:
    """Read a child's stderr to its end: progress is logged, the rest is kept in `lines`."""
    for data in stream:
        line = data.decode(errors="replace").rstrip()
        if is_progress(line):
            _log.info("%s", line)
        elif line:
            lines.append(line)
