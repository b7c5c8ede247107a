"""engine.process.allocator: memory that is freed serves the next allocation."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from engine.process import allocator

ROOT = Path(__file__).parents[2]

# Pages that were asked for by pictures of 700 KB, one after another, before and after.
PICTURES = """
import resource, sys
from engine.process.allocator import keep_freed_memory
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def decode():
    begun = faults()
    for _ in range(100):
        bytearray(700_000)
    return faults() - begun
decode()
before = decode()
assert keep_freed_memory()
decode()
print(before, decode())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a matter of glibc")
def test_a_process_as_dask_starts_it_takes_no_new_pages_for_each_picture():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", PICTURES]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    before, after = map(int, done.stdout.split())
    pages = 100 * 700_000 // os.sysconf("SC_PAGE_SIZE")
    assert before > pages // 2
    assert after < pages // 50


def test_where_nothing_was_set_nothing_is_changed(monkeypatch):
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    assert not allocator.keep_freed_memory()


def test_a_library_without_such_a_function_is_left_as_it_is(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: object())
    assert not allocator.keep_freed_memory()
