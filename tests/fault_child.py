"""Runs one of the product's commands until a fault strikes at a chosen write step.

    python tests/fault_child.py '{"module": "cache.__main__", "argv": ["compact", "c"],
                                  "fault": "kill", "at": 3, "settings": []}'

Write steps are the calls that change a disk: writes, fsyncs, renames, deletions, folders. `kill`
ends the process at step `at` as SIGKILL does (in the middle of a write, if it is one); the name of
an error (`ENOSPC`) makes that step and each one after it fail but deletions, as on a disk that
is full. Prints `ready` before the command begins and `steps N` after it, with
`struck` if the fault did.
"""

import errno
import importlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

DELETIONS = {"unlink", "rmdir", "rmtree"}


class Fault:
    """Counts the steps and strikes at one of them."""

    def __init__(self, kind, at):
        self.kind, self.at, self.steps, self.struck = kind, at, 0, False

    def around(self, owner, name):
        """Let each call of `owner.name` be a step."""
        original = getattr(owner, name)

        def step(*arguments, **options):
            if name == "open" and "w" not in "".join(map(str, arguments[1:2])):
                return original(*arguments, **options)
            self.steps += 1
            if self.at and self.steps >= self.at:
                self.strike(name, arguments)
            return original(*arguments, **options)

        setattr(owner, name, step)

    def strike(self, name, arguments):
        if self.kind != "kill" and name in DELETIONS:
            return
        self.struck = True
        if name == "write_bytes":  # torn
            path, data = arguments
            with open(path, "wb") as file:  # noqa: PTH123 - Path.open is a step
                file.write(data[: len(data) // 2])
        if self.kind == "kill":
            # On Windows os.kill ends the process at once whatever the signal.
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        number = getattr(errno, self.kind)
        raise OSError(number, os.strerror(number), str(arguments[0]) if arguments else None)


def main(order):
    """Obey the order, see above; return the command's exit code."""
    module = importlib.import_module(order["module"])
    for owner, name, value in order["settings"]:
        setattr(importlib.import_module(owner), name, value)
    if order["module"] == "engine.extract":
        importlib.import_module("engine.runner.extract")  # slow imports before `ready`
    fault = Fault(order["fault"], order["at"])
    for name in ("write_bytes", "open", "replace", "rename", "unlink", "mkdir"):
        fault.around(Path, name)
    fault.around(os, "fsync")
    fault.around(os, "rmdir")
    fault.around(shutil, "copyfile")
    fault.around(shutil, "rmtree")
    print("ready", flush=True)
    code = module.main(order["argv"])
    print("steps", fault.steps, "struck" if fault.struck else "", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
