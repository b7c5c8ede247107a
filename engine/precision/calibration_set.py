"""Which of a source's images int8 is calibrated on, and which others its parity is measured on."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.images.framing import Framing
from engine.sources.load import LoadedSample, Loader, none_cached
from engine.sources.open import Sample, Source
from engine.sources.order import interleave

# Images that each precision is made by, and others that it is compared on at most: see
# docs/decisions/053 and 056.
CALIBRATION: Mapping[str, int] = {"int8": 32, "fast": 64}
HELD_OUT = 128

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


class CalibrationSet:
    """Pixels to make and judge a model by, decoded as they are asked for. One thread's.

    calibration: uint8 (N, H, W, 3) RGB.
    """

    def __init__(self, decoding: "_Decoding", calibrated: int) -> None:
        """calibrated: how many images are calibrated on; all others are held out."""
        self._decoding, self._calibrated = decoding, calibrated
        self.calibration = _stacked(decoding.first(calibrated))

    def first(self, count: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Return the first `count` images held out, None for all, and their labels.

        uint8 (N, H, W, 3), int64 (N,), -1 for no label; fewer where there are no more.
        """
        items = self._held_out(HELD_OUT if count is None else min(count, HELD_OUT))
        return _stacked(items), np.array([self._decoding.code(item) for item in items], np.int64)

    def digests(self, count: int) -> np.ndarray:
        """Return the digests of the first `count` images held out: uint8 (N, 32)."""
        digests = b"".join(item.digest for item in self._held_out(count))
        return np.frombuffer(digests, np.uint8).reshape(-1, 32)

    def _held_out(self, count: int) -> list[LoadedSample]:
        return self._decoding.first(self._calibrated + count)[self._calibrated :]


def calibration_set(
    images: Images, size: tuple[int, int], precision: str = "int8"
) -> CalibrationSet | None:
    """Return distinct images of a source, a seeded, class-balanced choice; None if there are few.

    The same images, seed and decoding give the same pixels, in whatever order the samples are.
    size: (height, width). precision: of what is made by them.
    """
    most = CALIBRATION[precision]
    # By path first: an archive gives the images that its folder gives, in whatever order it comes.
    by_path = sorted(images.samples, key=lambda sample: sample.path)
    order = interleave(by_path, images.seed)[: most + HELD_OUT + _SPARE]
    decoding = _Decoding(images, order, size)
    count = len(decoding.first(2 * most))
    return CalibrationSet(decoding, count // 2) if count >= LEAST else None


def _stacked(items: Sequence[LoadedSample]) -> np.ndarray:
    return np.stack([item.pixels for item in items if item.pixels is not None])


class _Decoding:
    """The distinct images of a choice that can be decoded, as many as were asked for so far."""

    def __init__(self, images: Images, order: Sequence[Sample], size: tuple[int, int]) -> None:
        self._images, self._order = images, order
        self._loader = Loader(images.source, none_cached, size, images.framing)
        self._read = 0  # samples of the order
        self._distinct: dict[bytes, LoadedSample] = {}
        labels = sorted({sample.label for sample in order if sample.label is not None})
        self._codes = {label: code for code, label in enumerate(labels)}

    def code(self, item: LoadedSample) -> int:
        """Return the number of an image's label, -1 where it has none."""
        label = item.sample.label
        return -1 if label is None else self._codes[label]

    def first(self, count: int) -> list[LoadedSample]:
        """Return the first `count` images, fewer where there are no more."""
        while len(self._distinct) < count and self._read < len(self._order):
            missing = count - len(self._distinct)
            # A packed archive can be read in its own order alone, and so to its end.
            ahead = len(self._order) if self._images.source.sequential else missing
            samples = self._order[self._read : self._read + ahead]
            self._read += len(samples)
            loaded = self._load(samples)
            for sample in samples:
                if sample in loaded:
                    self._distinct.setdefault(loaded[sample].digest, loaded[sample])
        return list(self._distinct.values())[:count]

    def _load(self, samples: Sequence[Sample]) -> dict[Sample, LoadedSample]:
        """Return the samples that can be decoded."""
        images = self._images
        if images.source.sequential:
            chosen = set(samples)
            samples = [sample for sample in images.samples if sample in chosen]
        with ThreadPoolExecutor(images.threads, thread_name_prefix="calibration") as pool:
            loaded = self._loader.load(samples, pool, 4 * images.threads, threading.Event())
            return {item.sample: item for item in loaded if item.pixels is not None}
