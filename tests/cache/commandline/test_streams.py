"""cache.commandline.streams: what reaches stderr."""

import subprocess
import sys

_WRITES = """
import ctypes, sys
from cache.commandline.messages import messages_shown
from cache.commandline.streams import tell

with messages_shown(quiet=sys.argv[1] == "quiet"):
    ctypes.CDLL(None).write(2, b"of C\\n", 5)
    tell("of Python")
    print("as well", file=sys.stderr)
ctypes.CDLL(None).write(2, b"afterwards\\n", 11)
print("at last", file=sys.stderr)
"""


def stderr_of(mode):
    command = [sys.executable, "-c", _WRITES, mode]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr.split("\n")


def test_what_c_libraries_print_does_not_pass_quiet():
    assert stderr_of("quiet") == ["of Python", "as well", "afterwards", "at last", ""]
    assert stderr_of("loud") == ["of C", "of Python", "as well", "afterwards", "at last", ""]
