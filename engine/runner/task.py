"""What goes to a cluster's workers and back: a job, and what became of a task of it.

No pixel, no feature.
"""

import copy
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field

from cache.rows import Row
from engine.backbones.model import ModelFile
from engine.images.framing import Framing
from engine.runner.kind import Kind
from engine.runner.tally import Tally
from engine.sources.base import Listing, Source, SourceOptions


@dataclass(frozen=True)
class Job:
    """What all tasks of an extraction have in common.

    key: names it. source: without its samples, pickled; None to open it anew by location.
    kind: of the process that began it.
    """

    key: str
    cache: str
    space: str
    model: ModelFile
    framing: Framing
    location: str
    options: SourceOptions
    source: bytes | None
    kind: Kind
    batch_size: int | None = None


@dataclass(frozen=True)
class Report:
    """What became of the samples of a task.

    worker: its name. processor: its kind. rows: one for each sample, their features in the cache
    before; for the first ones where it was stopped. refused: why this worker cannot run the job at
    all; no row is there then. seconds: what it took, without the wait for a core.
    """

    worker: str
    processor: str
    rows: Sequence[Row] = ()
    tally: Tally = field(default_factory=Tally)
    refused: str = ""
    seconds: float = 0.0


def portable_source(source: Source) -> bytes | None:
    """Return a source without its samples, pickled; None for one that has a file open."""
    bare = copy.copy(source)
    bare.listing, bare.samples = Listing([]), []
    try:
        return pickle.dumps(bare)
    except TypeError:
        return None
