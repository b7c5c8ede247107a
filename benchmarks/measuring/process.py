"""A command as a process of its own: how long it takes and how much memory it needs."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring.machine import ROOT
from cache.failures import Failure

_LAUNCHER = Path(__file__).resolve().parent / "launch.py"


@dataclass(frozen=True)
class Run:
    """A process that has ended.

    seconds: from its start to its end. cpu_seconds: of all its threads; None on Windows.
    peak_bytes: the most memory that it held at once. code: its exit code; negative: the signal
    that killed it. output: what it printed on stdout.
    """

    seconds: float
    cpu_seconds: float | None
    peak_bytes: int
    code: int
    output: str

    @property
    def result(self) -> Any:
        """The JSON value on the last line that it printed."""
        return json.loads(self.output.splitlines()[-1])

    def payload(self) -> dict[str, Any]:
        """Return the timings as JSON values."""
        return {
            "seconds": round(self.seconds, 4),
            "cpu_seconds": None if self.cpu_seconds is None else round(self.cpu_seconds, 3),
            "peak_mib": round(self.peak_bytes / 2**20, 1),
        }


def python(module: str, *options: str) -> list[str]:
    """Return the command that runs a module of this project with this Python."""
    return [sys.executable, "-m", module, *options]


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    kill_after: float | None = None,
) -> Run:
    """Run a command in the project's folder to its end, or for `kill_after` seconds.

    Raises:
        Failure: it ended with an exit code other than 0 though nobody killed it.
    """
    with tempfile.TemporaryDirectory() as folder:
        record, out, err = (Path(folder) / name for name in ("record", "out", "err"))
        life = "inf" if kill_after is None else str(kill_after)
        launch = [sys.executable, "-I", "-S", str(_LAUNCHER), str(record), life]
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [*launch, *command], stdout=stdout, stderr=stderr, cwd=ROOT, env=environment
            )
            try:
                process.wait()
            except BaseException:
                process.terminate()  # which kills the command too
                raise
        if process.returncode:
            raise Failure(f"{_LAUNCHER.name} ended with {process.returncode}: {_last_line(err)}")
        measured = json.loads(record.read_bytes())
        if measured["code"] and kill_after is None:
            name = " ".join(command[1:4])
            raise Failure(f"{name} ended with {measured['code']}: {_last_line(err)}")
        return Run(**measured, output=out.read_text(encoding="utf-8", errors="replace"))


def _last_line(file: Path) -> str:
    lines = file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
