"""Two models on images held out: their features and their speeds, on as many as are needed."""

import time
from pathlib import Path

import numpy as np

from engine.graphs.session import run_over, session
from engine.precision.handover import CalibrationPixels, ComparedFeatures
from engine.precision.parity import Parity, measure_parity
from engine.precision.verdict import is_clear

# Images in a run: two networks are in memory, and more are hardly faster.
_BATCH_SIZE = 1

# Images held out after which the comparison may end, before all.
STAGES = (16, 32, 64)


def compare(fp32: Path, other: Path, pixels: CalibrationPixels) -> tuple[Parity, ComparedFeatures]:
    """Compare two models on images held out, on as many of STAGES as their verdict needs."""
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
        if is_clear(parity):
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
        """Images a second."""
        return self._images / self._seconds

    def run(self, pixels: np.ndarray) -> None:
        """Run those of the images, uint8 (N, H, W, 3), that it has no features of."""
        if not self._images:
            run_over(self._session, pixels[:1], ["features"])  # the first run allocates
        started = time.perf_counter()
        batches = run_over(self._session, pixels[self._images :], ["features"], _BATCH_SIZE)
        self._seconds += time.perf_counter() - started
        self._images = len(pixels)
        self._parts += [features for (features,) in batches]
