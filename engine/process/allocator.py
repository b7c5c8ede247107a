"""The C library's memory: freed pages kept for the next allocation."""

import ctypes
import os

# glibc's mallopt(3): the parameters, and the values that its own adjustment ends at.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_TRIM_BYTES, _MMAP_BYTES = 64 * 2**20, 32 * 2**20

# What sets glibc's first parameter, and with it ends its own adjustment of both.
_VARIABLE = "MALLOC_TRIM_THRESHOLD_"


def keep_freed_memory() -> bool:
    """Undo MALLOC_TRIM_THRESHOLD_ in this process; return whether there was something to undo.

    Dask starts workers with 65536, which gives the pages of each picture back to the system, and
    takes new ones for the next: decoding takes 1.7 times as long, an extraction by MobileNetV2 13 %
    more. Nothing is done where the C library is not glibc, or the variable is not set.
    """
    if _VARIABLE not in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # Windows has no None, other libraries no mallopt
        return False
    mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
    return True
