"""Two models on images held out: their features and their speeds, on as many as are needed."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from engine.graphs.session import available_cores, run, session
from engine.precision.handover import ComparedFeatures, Pixels
from engine.precision.parity import Parity, measure_parity
from engine.precision.verdict import is_clear

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# Images held out after which the comparison may end, before all.
STAGES = (16, 32, 64)


def clear_by_parity(parity: Parity, _: ComparedFeatures) -> bool:
    """Tell whether the verdict of `auto` is clear by figures alone."""
    return is_clear(parity)


def compare(
    fp32: "TimedNetwork",
    other: "TimedNetwork",
    pixels: Pixels,
    enough: Callable[[Parity, ComparedFeatures], bool] = clear_by_parity,
) -> tuple[Parity, ComparedFeatures]:
    """Compare two networks on images held out, on as many of STAGES as is enough for a verdict."""
    for count in (*STAGES, None):
        images, labels = pixels.first(count)
        for network in (fp32, other):
            network.begin(images)
        features = ComparedFeatures(fp32.features(len(images)), other.features(len(images)))
        rates = fp32.rate(len(images)), other.rate(len(images))
        parity = measure_parity(features.fp32, features.other, labels, rates=rates)
        if enough(parity, features) or count is None or len(labels) < count:
            break
    return parity, features


class TimedNetwork:
    """A network's features of images that become more, and how fast it runs.

    It runs on threads of its own while its maker does something else. One thread's; a context
    manager, at whose end no further image is begun and the file is let go.
    """

    def __init__(self, path: Path) -> None:
        """path: of a model of ours, which is loaded when the first image is begun."""
        self.path = path
        self._pool = ThreadPoolExecutor(available_cores(), "timed")
        self._session: Future[InferenceSession] | None = None
        self._runs: list[Future[tuple[np.ndarray, float]]] = []

    def __enter__(self) -> "TimedNetwork":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._session = None  # and with it the file, which is mapped

    def begin(self, pixels: np.ndarray) -> None:
        """Begin with those of the images, uint8 (N, H, W, 3), that it was not given before."""
        if self._session is None:
            self._session = self._pool.submit(session, self.path)
        fresh = pixels[len(self._runs) :]
        self._runs += [self._pool.submit(self._one, self._session, image) for image in fresh]

    def features(self, count: int) -> np.ndarray:
        """Return the features of the first `count` images, float32 (count, D): waits for them."""
        return np.concatenate([run.result()[0] for run in self._runs[:count]])

    def rate(self, count: int) -> float:
        """Return how many images a second it ran, by the processor time of each core.

        Other work on the machine hardly touches that. The first run of each thread, which
        allocates, counts only where there are no others. count: of how many images.
        """
        cores = available_cores()
        seconds = [run.result()[1] for run in self._runs[:count]]
        counted = seconds[cores:] or seconds
        return len(counted) * cores / max(sum(counted), 1e-9)

    @staticmethod
    def _one(loaded: "Future[InferenceSession]", image: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the features of an image, (1, D), and what they took on this thread."""
        runner = loaded.result()
        started = time.thread_time()
        (features,) = run(runner, ["features"], image[None])
        return features, time.thread_time() - started
