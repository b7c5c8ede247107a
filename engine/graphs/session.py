"""ONNX Runtime sessions that run on the caller's thread alone, and runs of them on all cores."""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.process.quota import core_quota

if TYPE_CHECKING:
    import onnxruntime

# Images a run: larger ones are no faster (the cores are busy with four), but need more memory.
BATCH_SIZE = 4

# Rounds the weights of float layers that lie between integer ones, by one scale for a whole tensor:
# MobileNetV2 with float depthwise layers falls to a cosine of 0.27 by it (docs/precision.md).
_HARMFUL = ["WeightBiasQuantization"]

# What ONNX Runtime says when memory runs out, while it loads and while it runs.
_NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory")

# Where the data file of a model is that is given as bytes.
_FOLDER = "session.model_external_initializers_file_folder_path"


def available_cores() -> int:
    """Return how many cores this process may use: by its affinity, and by a container's quota.

    Part of a core counts as one.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = core_quota()
    return cores if quota >= cores else max(1, math.ceil(quota))


def session(
    model: Path | bytes, folder: Path | None = None, *, packed: bool = True
) -> "onnxruntime.InferenceSession":
    """Load a model for runs of one thread each; several threads may run it at once.

    folder: of the data file that the bytes of a model name. packed: whether weights are copied into
        an order that is faster to read: VGG16's dense layers are as large a second time so. For
        the sake of a few images they need not be.
    """
    import onnxruntime  # a run that finds everything cached does without

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised as well
    if not packed:
        options.add_session_config_entry("session.disable_prepacking", "1")
    if folder is not None:
        options.add_session_config_entry(_FOLDER, str(folder))
    with memory_errors():
        return onnxruntime.InferenceSession(
            model,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=_HARMFUL,
        )


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError where ONNX Runtime says in the block that it has no memory left."""
    try:
        yield
    except Exception as error:  # each of ONNX Runtime's errors is an Exception of its own
        if any(words in str(error) for words in _NO_MEMORY):
            raise MemoryError(str(error)) from error
        raise


def run(
    runner: "onnxruntime.InferenceSession", outputs: Sequence[str], pixels: np.ndarray
) -> list[np.ndarray]:
    """Return a session's outputs for pixels, uint8 (N, H, W, 3). MemoryError where it has none."""
    with memory_errors():
        return list(runner.run(list(outputs), {"images": pixels}))


def run_over(
    runner: "onnxruntime.InferenceSession",
    pixels: np.ndarray,
    outputs: Sequence[str],
    batch_size: int = BATCH_SIZE,
) -> list[list[np.ndarray]]:
    """Return a session's outputs for each batch of pixels, uint8 (N, H, W, 3), on all cores."""
    batches = [pixels[start : start + batch_size] for start in range(0, len(pixels), batch_size)]
    with ThreadPoolExecutor(available_cores()) as pool:
        return list(pool.map(lambda batch: run(runner, outputs, batch), batches))
