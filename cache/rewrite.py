"""Parts into other parts: the step that compact and gc share."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cache.files import sync_folder
from cache.index import Index
from cache.part import Part, write_part
from cache.space import Space

# Bytes of features in a rewritten part; it is made in memory, about three times as much.
TARGET_BYTES = 64 * 2**20

Wanted = Callable[[np.ndarray], np.ndarray]


def rewrite(space: Space, inputs: Sequence[Part], wanted: Wanted) -> None:
    """Put the wanted rows of `inputs` into large parts, each once, and delete `inputs`.

    The new parts are all durable before the first of `inputs` is deleted, so a kill at any moment
    leaves each row in at least one part. Call it under `maintenance`.

    Raises: as `write_anew`; none of `inputs` is deleted.
    """
    new = set(write_anew(space, inputs, wanted))
    for part in inputs:
        if part.path not in new:
            # Windows deletes no file that somebody reads; the next compact finds it.
            with contextlib.suppress(FileNotFoundError, PermissionError):
                part.path.unlink()
    sync_folder(space.path / "parts")


def write_anew(space: Space, inputs: Sequence[Part], wanted: Wanted) -> list[Path]:
    """Put the wanted rows of `inputs` into large parts, each once; return those, all durable.

    wanted: tells for digests, uint8 (N, 32), which rows to keep: bool (N,).

    Raises:
        Damaged: one of `inputs` is not what was written; it is set aside.
    """
    target = max(1, TARGET_BYTES // (4 * space.dimension))
    written: list[Path] = []
    digests: list[np.ndarray] = []
    features: list[np.ndarray] = []

    held = 0

    def write() -> None:
        nonlocal held
        if digests:
            part = (np.concatenate(digests), np.concatenate(features))
            written.append(write_part(space.path / "parts", space.id, *part))
            digests.clear()
            features.clear()
            held = 0

    for keys, values in Index(inputs, space.dimension, space.index).blocks():
        keep = wanted(keys)
        digests.append(keys[keep])
        features.append(values[keep])
        held += len(digests[-1])
        if held >= target:
            write()
    write()
    return written
