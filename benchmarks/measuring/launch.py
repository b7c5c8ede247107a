"""Run a command and write down what it took: seconds, CPU seconds, peak memory, exit code.

python -I -S benchmarks/measuring/launch.py OUT.json SECONDS_TO_LIVE COMMAND...

A process of its own, of the standard library alone: Linux counts the memory of a parent into the
peak of its child until the child has started, so the parent has to be small.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

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

    def _wait(process: subprocess.Popen[bytes]) -> dict[str, Any]:
        process.wait()
        counters = _Counters(cb=ctypes.sizeof(_Counters))
        handle = wintypes.HANDLE(int(process._handle))
        ctypes.windll.psapi.GetProcessMemoryInfo(handle, ctypes.byref(counters), counters.cb)
        return {"cpu_seconds": None, "peak_bytes": int(counters.PeakWorkingSetSize)}

else:

    def _wait(process: subprocess.Popen[bytes]) -> dict[str, Any]:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        # Kilobytes, but bytes on macOS: getrusage(2) of each.
        unit = 1 if sys.platform == "darwin" else 1024
        return {
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_bytes": usage.ru_maxrss * unit,
        }


def _launch(out: str, seconds_to_live: str, command: list[str]) -> None:
    started = time.perf_counter()
    process = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: process.kill())
    killer = threading.Timer(float(seconds_to_live), process.kill)
    if seconds_to_live != "inf":
        killer.start()
    used = _wait(process)
    seconds = time.perf_counter() - started
    killer.cancel()
    with open(out, "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib is 2 MB more
        json.dump({"seconds": seconds, "code": process.returncode, **used}, file)


if __name__ == "__main__":
    _launch(sys.argv[1], sys.argv[2], sys.argv[3:])
