"""What a worker process of a local cluster runs first, by Dask's name for it."""

import signal


def dask_setup(worker: object) -> None:
    """Leave Ctrl-C to the command: a terminal sends it to all processes that it began."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
