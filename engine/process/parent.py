"""A child process that ends with its parent, however that ends.

A parent that is killed cannot end its children: without this an export would go on for half an
hour, for nobody. It needs nothing but the standard library, for it comes before everything else.
"""

import _thread
import os
import sys
import threading
import time

# Seconds between two looks at the parent.
_INTERVAL = 0.5

# Seconds that the work has to clean up.
_GRACE = 5.0


def end_with(parent: int) -> None:
    """Interrupt this process, and end it soon after, once its parent is gone.

    Returns at once: a thread watches. It reads no stream, which on Windows would hold up whoever
    else asks about that stream.

    parent: the id of the process that started this one.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    _wait_for_the_end_of(parent)
    _thread.interrupt_main()
    time.sleep(_GRACE)
    os._exit(1)  # it is in native code, which hears no interrupt


if sys.platform == "win32":
    import _winapi

    def _wait_for_the_end_of(parent: int) -> None:
        try:
            handle = _winapi.OpenProcess(_winapi.SYNCHRONIZE, False, parent)
        except PermissionError:
            _thread.exit()  # nothing is known of it
        except OSError:
            return
        _winapi.WaitForSingleObject(handle, _winapi.INFINITE)

else:

    def _wait_for_the_end_of(parent: int) -> None:
        # An orphan is given another parent at once.
        while os.getppid() == parent:
            time.sleep(_INTERVAL)
