"""Which of a source's images int8 is calibrated on, and which others its parity is measured on."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.images.framing import Framing
from engine.precision.handover import CalibrationPixels
from engine.sources.load import LoadedSample, Loader, none_cached
from engine.sources.open import Sample, Source
from engine.sources.order import interleave

CALIBRATION, HELD_OUT = 64, 128

# The fewest images that are worth anything: half are calibrated on, half compared.
LEAST = 16

# Samples more than that, for some do not decode or are copies of others.
_SPARE = 64


@dataclass(frozen=True)
class Images:
    """Where calibration images come from, and how they are decoded.

    seed: of the choice. threads: how many decode.
    """

    source: Source
    samples: Sequence[Sample]
    framing: Framing
    decode_rule: str
    seed: int
    threads: int

    @property
    def identity(self) -> dict[str, Any]:
        """What of it is part of a feature space."""
        return {**self.framing.identity, "decode_rule": self.decode_rule}


@dataclass(frozen=True)
class CalibrationSet:
    """Pixels to make and judge a model by. digests: uint8 (N, 32), of the images held out."""

    pixels: CalibrationPixels
    digests: np.ndarray


def calibration_set(images: Images, size: tuple[int, int]) -> CalibrationSet | None:
    """Return distinct images of a source, a seeded, class-balanced choice; None if there are few.

    The same images, seed and decoding give the same pixels, in whatever order the samples are.
    size: (height, width).
    """
    # By path first: an archive gives the images that its folder gives, in whatever order it comes.
    by_path = sorted(images.samples, key=lambda sample: sample.path)
    order = interleave(by_path, images.seed)[: CALIBRATION + HELD_OUT + _SPARE]
    loaded = _load(images, order, size)
    distinct = {loaded[s].digest: loaded[s] for s in reversed(order) if s in loaded}
    items = list(reversed(distinct.values()))[: CALIBRATION + HELD_OUT]
    if len(items) < LEAST:
        return None
    pixels = np.stack([item.pixels for item in items if item.pixels is not None])
    digests = np.frombuffer(b"".join(item.digest for item in items), np.uint8).reshape(-1, 32)
    labels = [item.sample.label for item in items]
    codes = {label: n for n, label in enumerate(sorted({x for x in labels if x is not None}))}
    numbers = np.array([-1 if label is None else codes[label] for label in labels])
    calibrated = min(CALIBRATION, len(items) // 2)
    return CalibrationSet(
        CalibrationPixels(pixels[:calibrated], pixels[calibrated:], numbers[calibrated:]),
        digests[calibrated:],
    )


def _load(
    images: Images, order: Sequence[Sample], size: tuple[int, int]
) -> dict[Sample, LoadedSample]:
    """Return the samples that can be decoded, up to as many distinct ones as are used."""
    chosen = set(order)
    # A packed archive can be read in its own order alone, and so to its end.
    sequential = images.source.sequential
    reading = [s for s in images.samples if s in chosen] if sequential else order
    loader = Loader(images.source, none_cached, size, images.framing)
    loaded: dict[Sample, LoadedSample] = {}
    digests: set[bytes] = set()
    enough = threading.Event()
    with ThreadPoolExecutor(images.threads, thread_name_prefix="calibration") as pool:
        for item in loader.load(reading, pool, 4 * images.threads, enough):
            if item.pixels is not None:
                loaded[item.sample] = item
                digests.add(item.digest)
            if not sequential and len(digests) == CALIBRATION + HELD_OUT:
                enough.set()
    return loaded
