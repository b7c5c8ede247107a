"""Two models on images held out: their features and their speeds, on as many as are needed."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from engine.graphs.session import available_cores, run, session
from engine.precision.handover import CalibrationPixels, ComparedFeatures
from engine.precision.parity import Parity, measure_parity
from engine.precision.verdict import is_clear

# Images held out after which the comparison may end, before all.
STAGES = (16, 32, 64)


def clear_by_parity(parity: Parity, _: ComparedFeatures) -> bool:
    """Tell whether the verdict of `auto` is clear by figures alone."""
    return is_clear(parity)


def compare(
    fp32: Path,
    other: Path,
    pixels: CalibrationPixels,
    enough: Callable[[Parity, ComparedFeatures], bool] = clear_by_parity,
) -> tuple[Parity, ComparedFeatures]:
    """Compare two models on images held out, on as many of STAGES as is enough for a verdict."""
    networks = _Timed(fp32), _Timed(other)
    labels = pixels.labels
    for count in (*(stage for stage in STAGES if stage < len(labels)), len(labels)):
        for network in networks:
            network.run(pixels.held_out[:count])
        features = ComparedFeatures(*(network.features for network in networks))
        parity = measure_parity(
            features.fp32,
            features.other,
            labels[:count],
            rates=(networks[0].rate, networks[1].rate),
        )
        if enough(parity, features):
            break
    return parity, features


class _Timed:
    """A network's features of images that become more, and how fast it ran."""

    def __init__(self, path: Path) -> None:
        self._session = session(path)
        self._parts: list[np.ndarray] = []
        self._images, self._seconds = 0, 0.0

    @property
    def features(self) -> np.ndarray:
        """The features so far, float32 (N, D)."""
        return np.concatenate(self._parts)

    @property
    def rate(self) -> float:
        """Images a second, by the processor time of each core: other processes hardly touch it."""
        return self._images * available_cores() / max(self._seconds, 1e-9)

    def run(self, pixels: np.ndarray) -> None:
        """Run those of the images, uint8 (N, H, W, 3), that it has no features of."""
        if not self._images:
            self._one(pixels[:1])  # the first run allocates
        fresh = pixels[self._images :]
        with ThreadPoolExecutor(available_cores()) as pool:
            results = list(pool.map(self._one, np.split(fresh, len(fresh))))
        self._seconds += sum(seconds for _, seconds in results)
        self._images = len(pixels)
        self._parts += [features for features, _ in results]

    def _one(self, pixels: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the features of an image, (1, D), and what they took on this thread."""
        started = time.thread_time()
        (features,) = run(self._session, ["features"], pixels)
        return features, time.thread_time() - started
