"""The pass over a source on local threads: read, digest, look up, decode, run, keep."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from cache.commandline.printable import printable
from cache.commandline.words import counted
from cache.failures import Failure, Interrupted
from cache.store import Space
from engine.backbones.backbone import Backbone
from engine.graphs.session import BATCH_SIZE, available_cores
from engine.images.framing import Framing
from engine.process.execution import Execution
from engine.runner.step import Batch, Computed, PartWriter, collect, compute
from engine.runner.survey import Survey
from engine.runner.tally import Tally
from engine.sources.base import Sample
from engine.sources.load import Loader, none_known

# Images that are decoded ahead, at least: so many that no core waits while the backbone loads.
_AHEAD = 128


@dataclass(frozen=True)
class Target:
    """Where features go, and what computes them.

    load_backbone: called when the first image needs it. framing: how pictures come to its size.
    """

    space: Space
    load_backbone: Callable[[], Backbone]
    framing: Framing


def run_pass(survey: Survey, target: Target, execution: Execution) -> Tally:
    """Bring the features of a survey's samples into a feature space, in their order.

    One pool of threads decodes images and runs batches, whichever is due, so that no core waits
    while there is work of either kind; each run of the backbone is one thread's. _AHEAD images or
    a few batches for each thread are under way at any time, and a part in memory: nothing grows
    with the source.

    What was in the cache is looked up once more at the end, and computed where it has gone: part
    of it may have been damaged, or a gc that was stopped half-way has gone on.

    Raises:
        Interrupted: `execution.stop` was set; what was under way is finished and kept.
        Failure: the source has vanished meanwhile; the same holds.
        OSError: the cache could not be written; finished parts are kept.
    """
    counts, space, total = Tally(), target.space, len(survey.samples)
    threads = execution.threads or available_cores()
    batch_size = execution.batch_size or BATCH_SIZE
    size = (space.description["height"], space.description["width"])
    # From here on gc leaves what the space holds, so what it holds is looked up after this.
    share = survey.selection.share
    origin = survey.origin
    table = space.write_dataset(survey.dataset, adds=survey.adds, share=share, origin=origin)
    known = none_known if execution.rehash else space.known_files(survey.dataset, share).digests
    pool = ThreadPoolExecutor(threads, thread_name_prefix="extract")

    def bring(samples: Sequence[Sample], tally: Tally) -> None:
        loader = Loader(survey.source, space.index().contains, size, target.framing, known)
        ahead = max(_AHEAD, 2 * threads * batch_size)
        loaded = loader.load(samples, pool, ahead, execution.stop or threading.Event())
        writer = PartWriter(space, table, tally)
        for computed in run_batches(
            collect(loaded, batch_size, tally), target.load_backbone, pool, threads + 1
        ):
            writer.add(computed)
            execution.progress(tally.done if tally is counts else total, total)
        writer.flush()
        if tally.done < len(samples):
            _report_unfinished(survey, tally)

    try:
        bring(survey.samples, counts)
        while lost := table.lost(space.index().contains):
            again = Tally()
            bring([sample for sample in survey.samples if sample.path in lost], again)
            counts.add_again(again)
        table.finish()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return counts


def _report_unfinished(survey: Survey, tally: Tally) -> None:
    done = f"{tally.done:,} of {counted(len(survey.samples), 'image')} are done and kept"
    location = survey.source.location
    if not location.exists():
        raise Failure(
            f"{printable(str(location))} is gone; {done}, "
            "bring it back and run the same command again to go on"
        )
    raise Interrupted(f"stopped; {done}, run the same command again to go on")


def run_batches(
    batches: Iterable[Batch],
    load_backbone: Callable[[], Backbone],
    pool: ThreadPoolExecutor,
    ahead: int,
) -> Iterator[Computed]:
    """Run batches in `pool`, up to `ahead` at a time; yield them in order."""
    backbone: Backbone | None = None
    under_way: deque[Future[Computed] | Computed] = deque()

    def oldest() -> Computed:
        first = under_way.popleft()
        return first.result() if isinstance(first, Future) else first

    for batch in batches:
        if batch.pixels:
            backbone = backbone or load_backbone()
            under_way.append(pool.submit(compute, backbone, batch))
        else:
            under_way.append(Computed(batch, np.empty((0, 0), np.float32), 0.0))
        if len(under_way) > ahead:
            yield oldest()
    while under_way:
        yield oldest()
