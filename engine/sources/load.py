"""Samples -> digests and pixels, by several threads, in order."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from cache.commandline.printable import printable
from cache.rows import Stat
from engine.images.decode import Rejected, decode_with_remark
from engine.sources.base import Sample, Source, Unreadable
from engine.sources.file_stats import is_settled
from engine.sources.foreign import HEAD_BYTES, advice

_log = logging.getLogger(__name__)

# Bytes of encoded images that are read ahead of their decoding, but for the last one; and of
# pixels that are decoded ahead of the backbone.
READ_AHEAD_BYTES = 128 * 2**20
PIXEL_BYTES = 256 * 2**20

# Samples whose files are looked at together, to see whether they are as they were.
_LOOKED_AT = 1024

_NO_STAT = Stat(-1, -1, -1, -1)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A sample with the digest of its bytes, and its pixels where they are wanted.

    digest: SHA-256 of the bytes; empty where they could not be read.
    pixels: uint8 (height, width, 3) RGB, of the very bytes of the digest; None where the cache
        has the feature already, or where there is a `reason`.
    reason: why the sample is rejected; empty if it is not.
    read_seconds, decode_seconds: what it took.
    remark: what is odd about the pixels, see `engine.images.decode.Decoded`.
    stat: of its file, where one that says the same again holds the same bytes; else None.
    """

    sample: Sample
    digest: bytes
    pixels: np.ndarray | None
    reason: str
    read_seconds: float
    decode_seconds: float
    remark: str = ""
    stat: Stat | None = None


# Gives the digest of each file, by path and stat, that is as it was; None for each other.
Known = Callable[[Sequence[str], Sequence[Stat]], list[bytes | None]]


def none_known(paths: Sequence[str], stats: Sequence[Stat]) -> list[bytes | None]:
    """Return, for a `Loader` that is to read every file, that none is known."""
    del stats
    return [None] * len(paths)


@dataclass(frozen=True)
class Loader:
    """How samples are read and decoded.

    cached: tells for digests, uint8 (N, 32), whether the cache holds their features.
    size: (height, width) of the pixels.
    known: which files need not be read, see there.
    """

    source: Source
    cached: Callable[[np.ndarray], np.ndarray]
    size: tuple[int, int]
    interpolation: str
    known: Known = none_known

    def load(
        self, samples: Sequence[Sample], pool: ThreadPoolExecutor, ahead: int, stop: threading.Event
    ) -> Iterator[Loaded]:
        """Load samples in `pool`; yield them in order; log each different remark once.

        ahead: how many samples may be under way; fewer where their pixels, or the bytes of a
            source that is read in its own order, would be more than the limits above.
        stop: once it is set, no further samples are begun, and those under way are left. Set here
            if the source is gone.
        """
        remarks: set[str] = set()
        for loaded in self._in_order(self._plan(samples), pool, ahead, stop):
            if not loaded.digest and not self.source.location.exists():
                stop.set()  # a disk that was pulled out is no fault of its images
                return
            if loaded.remark and loaded.remark not in remarks:
                remarks.add(loaded.remark)
                _log.warning("%s is %s", printable(loaded.sample.path), loaded.remark)
            yield loaded

    def _plan(self, samples: Sequence[Sample]) -> Iterator[Sample | Loaded]:
        """Yield each sample, loaded already where its file is as it was and its feature cached."""
        if self.known is none_known:
            yield from samples
            return
        for start in range(0, len(samples), _LOOKED_AT):
            chunk = samples[start : start + _LOOKED_AT]
            stats = [self.source.stat(sample) for sample in chunk]
            paths = [sample.path for sample in chunk]
            digests = self.known(paths, [stat or _NO_STAT for stat in stats])
            present = [digest for digest in digests if digest is not None]
            keys = np.frombuffer(b"".join(present), np.uint8).reshape(-1, 32)
            held = {d for d, there in zip(present, self.cached(keys), strict=True) if there}
            for sample, stat, digest in zip(chunk, stats, digests, strict=True):
                if digest is not None and digest in held:
                    yield Loaded(sample, digest, None, "", 0.0, 0.0, "", stat)
                else:
                    yield sample

    def _in_order(
        self,
        plan: Iterator[Sample | Loaded],
        pool: ThreadPoolExecutor,
        ahead: int,
        stop: threading.Event,
    ) -> Iterator[Loaded]:
        under_way: deque[Future[Loaded] | Loaded] = deque()
        budget = _Budget()
        height, width = self.size
        ahead = max(1, min(ahead, PIXEL_BYTES // (3 * height * width)))
        while not stop.is_set():
            while len(under_way) < ahead and budget.spent < READ_AHEAD_BYTES:
                if (item := next(plan, None)) is None:
                    break
                if isinstance(item, Loaded):
                    under_way.append(item)
                    continue
                # An archive that can only be read in its own order is read here, by one thread.
                data = self._read(item) if self.source.sequential else None
                budget.spend(len(data) if isinstance(data, bytes) else 0)
                under_way.append(pool.submit(self._load, item, data, budget))
            if not under_way:
                return
            first = under_way.popleft()
            yield first if isinstance(first, Loaded) else first.result()

    def _read(self, sample: Sample) -> bytes | Unreadable:
        try:
            return self.source.read(sample)
        except Unreadable as unreadable:
            return unreadable

    def _load(self, sample: Sample, data: bytes | Unreadable | None, budget: "_Budget") -> Loaded:
        begun, before = time.time_ns(), self.source.stat(sample)
        try:
            loaded = self._read_and_decode(sample, data)
        finally:  # before the result is there: what waits for it may count on this
            budget.spend(-len(data) if isinstance(data, bytes) else 0)
        # What changed while it was read, or just before, may be other bytes than those read.
        settled = before is not None and is_settled(before, begun)
        if settled and loaded.digest and self.source.stat(sample) == before:
            return replace(loaded, stat=before)
        return loaded

    def _read_and_decode(self, sample: Sample, data: bytes | Unreadable | None) -> Loaded:
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
                reason = advice(data[:HEAD_BYTES]) or rejected.reason
        seconds = time.perf_counter() - read
        return Loaded(sample, digest, pixels, reason, read - started, seconds, remark)


class _Budget:
    """Bytes in memory, counted by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.spent = 0

    def spend(self, count: int) -> None:
        with self._lock:
            self.spent += count


def none_cached(digests: np.ndarray) -> np.ndarray:
    """Return, for a `Loader` that is to decode every image, that none of the digests is cached."""
    return np.zeros(len(digests), bool)
