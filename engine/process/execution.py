"""How a job runs: nothing of it changes a result."""

import threading
from dataclasses import dataclass

from engine.process.progress import Progress, no_progress


@dataclass(frozen=True)
class Execution:
    """How a job runs, and how it is watched and stopped.

    batch_size, threads: images run together, and threads that decode and run; None for what is
        tuned. They bound the memory, whatever the number of images.
    progress: is told how many of how many images are done.
    stop: once it is set, what is under way is finished and kept, and the job ends as Interrupted.
        None where nobody stops it.
    cluster: a Dask cluster to run on, see `engine.runner.connection`; None for this machine.
    rehash: read every file again, also those whose size, times and number are as they were.
    """

    batch_size: int | None = None
    threads: int | None = None
    progress: Progress = no_progress
    stop: threading.Event | None = None
    rehash: bool = False
    cluster: str | None = None
