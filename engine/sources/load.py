"""Samples -> digests and pixels, by several threads, in order."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

import numpy as np

from cache.commandline.printable import printable
from engine.images.decode import Rejected, decode_with_remark
from engine.sources.open import Sample, Source, Unreadable

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A sample with the digest of its bytes, and its pixels where they are wanted.

    digest: SHA-256 of the bytes; empty where they could not be read.
    pixels: uint8 (height, width, 3) RGB, of the very bytes of the digest; None where the cache
        has the feature already, or where there is a `reason`.
    reason: why the sample is rejected; empty if it is not.
    read_seconds, decode_seconds: what it took.
    remark: what is odd about the pixels, see `engine.images.decode.Decoded`.
    """

    sample: Sample
    digest: bytes
    pixels: np.ndarray | None
    reason: str
    read_seconds: float
    decode_seconds: float
    remark: str = ""


@dataclass(frozen=True)
class Loader:
    """How samples are read and decoded.

    cached: tells for digests, uint8 (N, 32), whether the cache holds their features.
    size: (height, width) of the pixels.
    """

    source: Source
    cached: Callable[[np.ndarray], np.ndarray]
    size: tuple[int, int]
    interpolation: str

    def load(
        self, samples: Sequence[Sample], pool: ThreadPoolExecutor, ahead: int, stop: threading.Event
    ) -> Iterator[Loaded]:
        """Load samples in `pool`; yield them in order; log each different remark once.

        ahead: how many samples may be under way, which bounds the memory.
        stop: once it is set, no further samples are begun, and those under way are left. Set here
            if the source is gone.
        """
        under_way: deque[Future[Loaded]] = deque()
        remarks: set[str] = set()
        rest = iter(samples)
        while not stop.is_set():
            for sample in islice(rest, ahead - len(under_way)):
                # An archive that can only be read in its own order is read here, by one thread.
                data = self._read(sample) if self.source.sequential else None
                under_way.append(pool.submit(self._load, sample, data))
            if not under_way:
                return
            loaded = under_way.popleft().result()
            if not loaded.digest and not self.source.location.exists():
                stop.set()  # a disk that was pulled out is no fault of its images
                return
            if loaded.remark and loaded.remark not in remarks:
                remarks.add(loaded.remark)
                _log.warning("%s is %s", printable(loaded.sample.path), loaded.remark)
            yield loaded

    def _read(self, sample: Sample) -> bytes | Unreadable:
        try:
            return self.source.read(sample)
        except Unreadable as unreadable:
            return unreadable

    def _load(self, sample: Sample, data: bytes | Unreadable | None) -> Loaded:
        started = time.perf_counter()
        if data is None:
            data = self._read(sample)
        if isinstance(data, Unreadable):
            return Loaded(sample, b"", None, data.reason, time.perf_counter() - started, 0.0)
        digest = sha256(data).digest()
        cached = self.cached(np.frombuffer(digest, np.uint8).reshape(1, 32))[0]
        read = time.perf_counter()
        pixels, reason, remark = None, "", ""
        if not cached:
            try:
                decoded = decode_with_remark(data, self.size, self.interpolation)
                pixels, remark = decoded.pixels, decoded.remark
            except Rejected as rejected:
                reason = rejected.reason
        seconds = time.perf_counter() - read
        return Loaded(sample, digest, pixels, reason, read - started, seconds, remark)


def none_cached(digests: np.ndarray) -> np.ndarray:
    """Return, for a `Loader` that is to decode every image, that none of the digests is cached."""
    return np.zeros(len(digests), bool)
