"""Samples -> digests and pixels, by several threads, in order."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from cache.commandline.printable import printable
from cache.rows import Stat
from engine.images.decode import Decoded, Rejected, decode_with_remark
from engine.images.framing import Framing
from engine.images.views import decode_views
from engine.sources.base import Sample, Source, Unreadable
from engine.sources.file_bytes import FileBytes, read, read_with_digest
from engine.sources.foreign import HEAD_BYTES, advice

_log = logging.getLogger(__name__)

# Bytes of encoded images that are read ahead of their decoding, but for the last one; and of
# pixels that are decoded ahead of the backbone.
READ_AHEAD_BYTES = 128 * 2**20
PIXEL_BYTES = 256 * 2**20

# Samples that one thread loads together, and bytes of them: their digests are looked up at once.
_GROUP = 8
_GROUP_BYTES = 16 * 2**20

# Samples whose files are looked at together, to see whether they are as they were.
_LOOKED_AT = 1024

# Requests to another file system at once, whatever the cores: most of each is waiting.
_REQUESTS = 8

_NO_STAT = Stat(-1, -1, -1, -1)


@dataclass(frozen=True, slots=True)
class LoadedSample:
    """A sample with the digest of its bytes, and its pixels where they are wanted.

    digest: SHA-256 of the bytes; empty where they could not be read.
    pixels: uint8 (height, width, 3) RGB, of the very bytes of the digest, or that for each view;
        None where the cache has the feature already, or where there is a `reason`.
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


# A sample, and its bytes or why there are none, where other threads read them than decode them.
_Bytes = bytes | Unreadable
_Begun = tuple[Sample, _Bytes | Future[_Bytes] | None]

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
    size: (height, width) of the pixels. framing: how pictures come to it.
    known: which files need not be read, see there.
    views: how many of each image, see `engine.images.views`; None for the image itself.
    """

    source: Source
    cached: Callable[[np.ndarray], np.ndarray]
    size: tuple[int, int]
    framing: Framing
    known: Known = none_known
    views: int | None = None

    def load(
        self, samples: Sequence[Sample], pool: ThreadPoolExecutor, ahead: int, stop: threading.Event
    ) -> Iterator[LoadedSample]:
        """Load samples in `pool`; yield them in order; log each different remark once.

        ahead: how many samples may be under way; fewer where their pixels, or the bytes of a
            source that is read in its own order, would be more than the limits above.
        stop: once it is set, no further samples are begun, and those under way are left. Set here
            if the source is gone.
        """
        remarks: set[str] = set()
        remote = ThreadPoolExecutor(_REQUESTS, "read") if self.source.remote else nullcontext()
        with remote as requests:
            for loaded in self._in_order(self.plan(samples), pool, ahead, stop, requests):
                if stop.is_set():
                    return
                if not loaded.digest and not self.source.location.exists():
                    stop.set()  # a disk that was pulled out is no fault of its images
                    return
                if loaded.remark and loaded.remark not in remarks:
                    remarks.add(loaded.remark)
                    _log.warning("%s is %s", printable(loaded.sample.path), loaded.remark)
                yield loaded

    def _decode_image(self, data: bytes) -> Decoded:
        if self.views is None:
            return decode_with_remark(data, self.size, self.framing)
        return decode_views(data, self.size, self.framing, self.views)

    def plan(self, samples: Sequence[Sample]) -> Iterator[Sample | LoadedSample]:
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
                    yield LoadedSample(sample, digest, None, "", 0.0, 0.0, "", stat)
                else:
                    yield sample

    def _in_order(
        self,
        plan: Iterator[Sample | LoadedSample],
        pool: ThreadPoolExecutor,
        ahead: int,
        stop: threading.Event,
        requests: ThreadPoolExecutor | None,
    ) -> Iterator[LoadedSample]:
        height, width = self.size
        ahead = max(1, min(ahead, PIXEL_BYTES // (3 * height * width * (self.views or 1))))
        most = max(1, min(_GROUP, ahead // 4))
        under_way: deque[tuple[int, Future[list[LoadedSample]] | LoadedSample]] = deque()
        group, count, budget = list[_Begun](), 0, _Budget()

        def submit() -> None:
            if group:
                under_way.append((len(group), pool.submit(self._load, group.copy(), budget)))
                group.clear()

        while not stop.is_set():
            while count < ahead and budget.spent < READ_AHEAD_BYTES:
                if (item := next(plan, None)) is None:
                    break
                count += 1
                if isinstance(item, LoadedSample):
                    submit()
                    under_way.append((1, item))
                    continue
                if self.source.sequential:  # read here, by one thread, in its own order
                    group.append((item, self._read(item, budget)))
                else:
                    ask = requests.submit(self._read, item, budget) if requests else None
                    group.append((item, ask))
                if len(group) == most:
                    submit()
            submit()
            if not under_way:
                return
            size, first = under_way.popleft()
            count -= size
            yield from [first] if isinstance(first, LoadedSample) else first.result()

    def _read(self, sample: Sample, budget: "_Budget") -> _Bytes:
        data = read(self.source, sample)
        budget.spend(len(data) if isinstance(data, bytes) else 0)
        return data

    def _load(self, group: list[_Begun], budget: "_Budget") -> list[LoadedSample]:
        """Load some samples; their digests are looked up together."""
        results, files, size, begun = list[LoadedSample](), list[FileBytes](), 0, 0
        for place, (sample, data) in enumerate(group):
            group[place] = sample, None
            data = data.result() if isinstance(data, Future) else data
            begun += len(data) if isinstance(data, bytes) else 0
            files.append(read_with_digest(self.source, sample, data))
            size += len(files[-1].data)
            if size >= _GROUP_BYTES or place == len(group) - 1:
                del data
                results += self._decode(files)
                files, size = [], 0
                # Before the results are there: who waits for them may count on this.
                budget.spend(-begun)
                begun = 0
        return results

    def _decode(self, files: Sequence[FileBytes]) -> list[LoadedSample]:
        """Look the digests of files up and decode those whose features are not cached."""
        started = time.perf_counter()
        keys = np.frombuffer(b"".join(file.digest for file in files), np.uint8).reshape(-1, 32)
        held = iter(self.cached(keys).tolist())
        cached = [bool(file.digest) and next(held) for file in files]
        look_up = (time.perf_counter() - started) / max(1, len(files))
        return [
            self._decode_one(file, file.seconds + look_up, cached=there)
            for file, there in zip(files, cached, strict=True)
        ]

    def _decode_one(self, file: FileBytes, read: float, *, cached: bool) -> LoadedSample:
        started = time.perf_counter()
        pixels, reason, remark = None, file.reason, ""
        if file.digest and not cached:
            try:
                decoded = self._decode_image(file.data)
                pixels, remark = decoded.pixels, decoded.remark
            except Rejected as rejected:
                reason = advice(file.data[:HEAD_BYTES]) or rejected.reason
        seconds = time.perf_counter() - started
        sample, digest = file.sample, file.digest
        return LoadedSample(sample, digest, pixels, reason, read, seconds, remark, file.stat)


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
