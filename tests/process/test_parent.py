"""A child ends with its parent, however that ends, and whatever the child is at."""

import subprocess
import sys
import time

import pytest

from cache.lock import file_lock

# A child of `run_in_child` that holds a lock, and says when it does.
CHILD = """
import contextlib, sys, time
from pathlib import Path
from cache.lock import file_lock

folder = Path(sys.argv[1])
with file_lock(folder / "lock", wait=True):
    (folder / "begun").touch()
    try:
        for _ in range(600):
            with contextlib.suppress(KeyboardInterrupt if sys.argv[2] == "deaf" else ValueError):
                time.sleep(0.1)
    finally:
        (folder / "cleaned").touch()
"""

PARENT = """
import sys
from engine.process.child import run_in_child

sys.path.insert(0, sys.argv[1])
run_in_child("a_child", sys.argv[1:], "the work")
"""

# Far more than it takes.
PATIENCE = 60


def wait_until(is_so):
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("hearing", ["hears", "deaf"])
def test_a_child_of_a_killed_parent_ends(tmp_path, hearing):
    (tmp_path / "a_child.py").write_text(CHILD)
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), hearing])
    try:
        wait_until((tmp_path / "begun").exists)
    finally:
        parent.kill()
        parent.wait()

    def is_free():
        try:
            with file_lock(tmp_path / "lock", wait=False):
                return True
        except OSError:
            return False

    assert not is_free()
    wait_until(is_free)
    assert (tmp_path / "cleaned").exists() == (hearing == "hears")
