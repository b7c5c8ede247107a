"""Images through backbone and head: labels and probabilities, in order, as they come."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from engine.backbones.backbone import Backbone
from engine.graphs.session import BATCH_SIZE, available_cores
from engine.heads.head import Head
from engine.images.framing import Framing
from engine.process.execution import Execution
from engine.runner.step import NOT_FINITE
from engine.sources.load import LoadedSample, Loader, none_cached
from engine.sources.open import Sample, Source, inputs

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
    """A backbone with a head that was trained on its features.

    views: over how many views of an image its probabilities are averaged, one of
        `engine.images.formats.VIEWS`.
    """

    backbone: Backbone
    head: Head
    views: int = 1

    def classify(self, names: Sequence[str], execution: Execution = Execution()) -> Iterator[Group]:
        """Yield the predictions for files, folders and archives, in order.

        Each group is to be used up before the next is asked for. Nothing that is wrong with an
        image or an archive raises: it is a prediction with an `error`. Once `execution.stop` is
        set, no further images are begun.
        """
        for entry in inputs(names):
            if execution.stop is not None and execution.stop.is_set():
                return
            if entry.source is None:
                yield Group([entry.prefix], iter([Prediction(entry.prefix, None, entry.reason)]))
                continue
            paths = [entry.prefix + sample.path for sample in entry.source.samples]
            yield Group(paths, self.classify_source(entry.source, execution, entry.prefix))

    def classify_source(
        self,
        source: Source,
        execution: Execution = Execution(),
        prefix: str = "",
        samples: Sequence[Sample] | None = None,
    ) -> Iterator[Prediction]:
        """Yield a prediction for each sample of a source, in order; see `classify`.

        prefix: goes before the samples' paths. samples: those to ask about; None for all.
        """
        samples = source.samples if samples is None else samples
        model = self.backbone.description
        threads = execution.threads or available_cores()
        batch_size = execution.batch_size or BATCH_SIZE
        framing = Framing.of(self.head.description)
        size = model.height, model.width
        loader = Loader(source, none_cached, size, framing, views=self.views)
        stop = execution.stop or threading.Event()
        under_way: deque[tuple[list[_Named], Future[np.ndarray] | None]] = deque()
        done = 0

        def oldest() -> list[Prediction]:
            nonlocal done
            named, future = under_way.popleft()
            done += len(named)
            execution.progress(done, len(samples))
            return _predictions(named, future.result() if future else ())

        with ThreadPoolExecutor(threads, thread_name_prefix="predict") as pool:
            loaded = loader.load(samples, pool, 2 * threads * batch_size, stop)
            for batch in _batches(loaded, batch_size):
                named = [(prefix + item.sample.path, item.reason) for item in batch]
                pixels = [item.pixels for item in batch if item.pixels is not None]
                future = pool.submit(self._probabilities, pixels) if pixels else None
                under_way.append((named, future))
                if len(under_way) > threads + 1:
                    yield from oldest()
            while under_way:
                yield from oldest()

    def _probabilities(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """Return float32 (N, C) for the views of N images, uint8 (views, H, W, 3) each."""
        with np.errstate(all="ignore"):  # what is no number is told of, image by image
            probabilities = self.head.probabilities(self.backbone.features(np.concatenate(pixels)))
        if self.views == 1:
            return probabilities
        means: np.ndarray = probabilities.reshape(len(pixels), self.views, -1).mean(axis=1)
        return means


def _batches(loaded: Iterable[LoadedSample], size: int) -> Iterator[list[LoadedSample]]:
    rest = iter(loaded)
    while batch := list(islice(rest, size)):
        yield batch


def _predictions(named: Iterable[_Named], probabilities: Iterable[np.ndarray]) -> list[Prediction]:
    """Return a batch's predictions: one of `probabilities` for each path without a reason."""
    rows = iter(probabilities)
    return [
        Prediction(path, None, reason) if reason else _prediction(path, next(rows))
        for path, reason in named
    ]


def _prediction(path: str, probabilities: np.ndarray) -> Prediction:
    if np.isfinite(probabilities).all():
        return Prediction(path, probabilities)
    return Prediction(path, None, NOT_FINITE)
