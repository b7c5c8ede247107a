"""A command of this product run in a process of its own, which takes its memory when it ends."""

import subprocess
import sys
from collections.abc import Sequence

from cache.command import INTERRUPTED
from cache.failures import Failure, Interrupted, UsageFailure


def run_in_child(module: str, arguments: Sequence[str], what: str) -> bytes:
    """Run `python -m MODULE ARGUMENTS --json --quiet`; return what it prints on stdout.

    what: names the work in messages, as in `the export`.

    Raises:
        Failure, UsageFailure: the command's own failure, in its own words.
        Interrupted: Ctrl-C reached it.
    """
    finished = subprocess.run(
        [sys.executable, "-m", module, *arguments, "--json", "--quiet"],
        capture_output=True,
        check=False,
    )
    if finished.returncode == 0:
        return finished.stdout
    if finished.returncode == INTERRUPTED:
        raise Interrupted(f"interrupted during {what}; run the same command again")
    lines = finished.stderr.decode(errors="replace").strip().splitlines()
    if not lines:
        raise Failure(
            f"{what} was killed (exit code {finished.returncode}); it needs up to 3 GB of memory, "
            "so close other programs and run the same command again"
        )
    # The command's own line, or the last one of a traceback.
    own = f"python -m {module}: "
    failure = UsageFailure if finished.returncode == UsageFailure.exit_code else Failure
    if lines[-1].startswith(own):
        raise failure(lines[-1].removeprefix(own))
    raise failure(f"{what} failed: {lines[-1]}")
