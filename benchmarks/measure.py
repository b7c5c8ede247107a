"""A command as a process of its own: how long it takes and how much memory it needs."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.machine import ROOT
from cache.failures import Failure


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
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT, env=environment)
        killer = threading.Timer(kill_after or 0, process.kill)
        if kill_after is not None:
            killer.start()
        try:
            cpu_seconds, peak = _wait(process)
        except BaseException:
            process.kill()
            raise
        finally:
            killer.cancel()
        seconds = time.perf_counter() - started
        out.seek(0)
        err.seek(0)
        output = out.read().decode(errors="replace")
        if process.returncode and kill_after is None:
            said = err.read().decode(errors="replace").strip().splitlines()
            name = " ".join(command[1:4])
            raise Failure(f"{name} ended with {process.returncode}: {said[-1] if said else ''}")
    return Run(seconds, cpu_seconds, peak, process.returncode, output)


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    class _Counters(ctypes.Structure):
        """PROCESS_MEMORY_COUNTERS of psapi.h."""

        _fields_ = (
            ("cb", wintypes.DWORD),
            ("PageFaultCount", wintypes.DWORD),
            ("PeakWorkingSetSize", ctypes.c_size_t),
            ("others", ctypes.c_size_t * 7),
        )

    def _wait(process: subprocess.Popen[bytes]) -> tuple[float | None, int]:
        process.wait()
        counters = _Counters(cb=ctypes.sizeof(_Counters))
        ctypes.windll.psapi.GetProcessMemoryInfo(
            wintypes.HANDLE(int(process._handle)), ctypes.byref(counters), counters.cb
        )
        return None, int(counters.PeakWorkingSetSize)

else:

    def _wait(process: subprocess.Popen[bytes]) -> tuple[float | None, int]:
        """Wait for a process; return its CPU seconds and peak memory in bytes.

        Linux counts the memory of this process in while the other one starts, so what measures
        should itself be small: no benchmark imports TensorFlow where it measures others.
        """
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        # Kilobytes, but bytes on macOS: getrusage(2) of each.
        peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return usage.ru_utime + usage.ru_stime, peak
