"""Images through backbone and head: labels and probabilities, in order, as they come."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from engine.backbones.backbone import Backbone
from engine.heads.head import Head
from engine.process.progress import progress
from engine.sources.load import Loaded, Loader, none_cached
from engine.sources.open import Source, inputs

_Named = tuple[str, str]  # an image's path, and why it is rejected; empty if it is not


@dataclass(frozen=True)
class Prediction:
    """What a head says of an image, or why it says nothing.

    path: from where the user is; for an image in an archive, the archive's name and the path in it.
    probabilities: float32 (C,), in the order of the head's classes; None where there is an `error`.
    """

    path: str
    probabilities: np.ndarray | None
    error: str = ""


@dataclass(frozen=True)
class Group:
    """The predictions of one source, one at a time, and their paths, which are known before."""

    paths: Sequence[str]
    predictions: Iterator[Prediction]


@dataclass(frozen=True)
class Classifier:
    """A backbone with a head, and how images are read for them.

    batch_size, threads: how many images run together, and on how many threads images are decoded
        and run; they bound the memory, whatever the number of images.
    """

    backbone: Backbone
    head: Head
    batch_size: int
    threads: int

    def classify(
        self, names: Sequence[str], stop: threading.Event, *, quiet: bool
    ) -> Iterator[Group]:
        """Yield the predictions for files, folders and archives, in order.

        Each group is to be used up before the next is asked for. Nothing that is wrong with an
        image or an archive raises: it is a prediction with an `error`.

        stop: once it is set, no further images are begun.
        quiet: show no progress.
        """
        with ThreadPoolExecutor(self.threads, thread_name_prefix="predict") as pool:
            for entry in inputs(names):
                if stop.is_set():
                    return
                if entry.source is None:
                    yield Group(
                        [entry.prefix], iter([Prediction(entry.prefix, None, entry.reason)])
                    )
                    continue
                paths = [entry.prefix + sample.path for sample in entry.source.samples]
                found = self._run(entry.source, entry.prefix, pool, stop, quiet=quiet)
                yield Group(paths, found)

    def _run(
        self,
        source: Source,
        prefix: str,
        pool: ThreadPoolExecutor,
        stop: threading.Event,
        *,
        quiet: bool,
    ) -> Iterator[Prediction]:
        model = self.backbone.description
        interpolation = self.head.description["interpolation"]
        loader = Loader(source, none_cached, (model.height, model.width), interpolation)
        loaded = loader.load(source.samples, pool, 2 * self.threads * self.batch_size, stop)
        under_way: deque[tuple[list[_Named], Future[np.ndarray] | None]] = deque()

        def oldest() -> list[Prediction]:
            named, future = under_way.popleft()
            bar.advance(len(named))
            return _predictions(named, future.result() if future else ())

        with progress(len(source.samples), quiet=quiet) as bar:
            for batch in _batches(loaded, self.batch_size):
                named = [(prefix + item.sample.path, item.reason) for item in batch]
                pixels = [item.pixels for item in batch if item.pixels is not None]
                future = pool.submit(self._probabilities, np.stack(pixels)) if pixels else None
                under_way.append((named, future))
                if len(under_way) > self.threads + 1:
                    yield from oldest()
            while under_way:
                yield from oldest()

    def _probabilities(self, pixels: np.ndarray) -> np.ndarray:
        return self.head.probabilities(self.backbone.features(pixels))


def _batches(loaded: Iterable[Loaded], size: int) -> Iterator[list[Loaded]]:
    rest = iter(loaded)
    while batch := list(islice(rest, size)):
        yield batch


def _predictions(named: Iterable[_Named], probabilities: Iterable[np.ndarray]) -> list[Prediction]:
    """Return a batch's predictions: one of `probabilities` for each path without a reason."""
    rows = iter(probabilities)
    return [Prediction(path, None if why else next(rows), why) for path, why in named]
