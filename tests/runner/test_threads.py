"""The pass over a source: what becomes of each sample, in bounded memory, whatever happens."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from level_samples import Level

from cache.failures import Failure, Interrupted
from cache.store import FeatureCache
from engine.images.framing import Framing
from engine.process.execution import Execution
from engine.runner import step
from engine.runner import threads as pipeline
from engine.runner.step import NOT_FINITE
from engine.runner.survey import Selection, Survey
from engine.runner.threads import Target, run_pass
from engine.sources.base import Listing, Sample, Source, Unreadable
from engine.sources.load import Loader

SIZE = (4, 4)


class Numbers(Source):
    """A source whose samples' bytes are a number; a negative one cannot be read."""

    def __init__(self, numbers, location=Path(), sequential=False):
        self.sequential = sequential
        self.readers = set()
        self.order = []
        samples = [Sample(f"c/{place}/{number}", "c") for place, number in enumerate(numbers)]
        super().__init__(location, Listing(samples))

    def read(self, sample):
        self.readers.add(threading.get_ident())
        self.order.append(sample.path)
        number = int(sample.path.rsplit("/", 1)[1])
        if number < 0:
            raise Unreadable("cannot be read")
        return str(number).encode()

    def close(self):
        pass


class Sums:
    """A backbone: the features of an image are its number, and one more."""

    def __init__(self, steps=None, wait=0.0, on_run=lambda _: None):
        self.steps, self.wait, self.on_run, self.runs = steps, wait, on_run, []

    def features(self, pixels):
        self.runs.append(len(pixels))
        self.on_run(len(self.runs))
        time.sleep(self.wait)
        if self.steps:
            self.steps.add(-len(pixels))
        first = pixels[:, 0, 0].astype(np.float32) @ np.float32([65536, 256, 1])
        return np.stack([first, first + 1], axis=1)


@pytest.fixture
def space(tmp_path):
    description = {"backbone": "sums", "height": 4, "width": 4}
    return FeatureCache.create(tmp_path / "cache").add_space(description, 2)


@pytest.fixture(autouse=True)
def decode_numbers(monkeypatch):
    from engine.images.decode import Decoded, Rejected
    from engine.sources import load as loading

    def decode(data, size, _):
        number = int(data)
        if number >= 2**24:
            raise Rejected("too large")
        pixels = np.empty((*size, 3), np.uint8)
        pixels[:] = list(number.to_bytes(3, "big"))
        return Decoded(pixels, "", pixels.shape[:2])

    monkeypatch.setattr(loading, "decode_with_remark", decode)


def surveyed(source):
    return Survey("numbers", "numbers", source, source.samples, Selection(), 0.0)


def run(source, space, backbone=None, *, batch_size=4, threads=2, stop=None):
    told = []
    target = Target(space, lambda: backbone or Sums(), Framing())
    execution = Execution(batch_size, threads, lambda *counts: told.append(counts), stop)
    tally = run_pass(surveyed(source), target, execution)
    assert told[-1] == (len(source.samples), len(source.samples))
    assert told == sorted(told)
    return tally


def features_of(space):
    """Return path -> feature of each cached row."""
    rows = [row for row in space.rows() if row.status == "cached"]
    digests = np.frombuffer(b"".join(row.digest for row in rows), np.uint8).reshape(-1, 32)
    features = space.index().read(digests)
    return {row.path: vector.tolist() for row, vector in zip(rows, features, strict=True)}


def assert_right(space):
    for path, vector in features_of(space).items():
        number = int(path.rsplit("/", 1)[1])
        assert vector == [number, number + 1], path


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize(("batch_size", "threads"), [(1, 1), (3, 2), (64, 4)])
def test_each_sample_ends_in_one_way(space, batch_size, threads, sequential):
    numbers = [7, 8, 7, -1, 9, 2**24, 8, 2**25, *range(100, 140)]
    source = Numbers(numbers, sequential=sequential)
    tally = run(source, space, batch_size=batch_size, threads=threads)
    assert (tally.computed, tally.hits, tally.duplicates) == (43, 0, 2)
    assert [reason for _, reason in tally.rejected] == ["cannot be read", "too large", "too large"]
    assert tally.done == len(numbers)
    assert_right(space)
    rows = {row.path: row for row in space.rows()}
    assert list(rows) == [sample.path for sample in source.samples]
    assert {path for path, row in rows.items() if row.status == "rejected"} == {
        path for path, _ in tally.rejected
    }
    if sequential:
        assert source.readers == {threading.get_ident()}
        assert source.order == [sample.path for sample in source.samples]
    else:
        assert threading.get_ident() not in source.readers


def test_batches_are_full_but_the_last_and_never_padded(space):
    backbone = Sums()
    run(Numbers(range(30)), space, backbone, batch_size=8)
    assert sorted(backbone.runs) == [6, 8, 8, 8]
    assert len(space.index()) == 30


def test_a_second_pass_loads_no_backbone(space):
    run(Numbers(range(20)), space)

    def load():
        raise AssertionError("loaded")

    source = Numbers([*range(10), 3])
    tally = run_pass(surveyed(source), Target(space, load, Framing()), Execution(4, 2))
    assert (tally.computed, tally.hits, tally.duplicates) == (0, 10, 1)


@pytest.mark.parametrize("least", [0, 60])
@pytest.mark.parametrize(("batch_size", "threads"), [(1, 1), (4, 2), (8, 3)])
def test_images_in_memory_never_exceed_the_bound(space, monkeypatch, batch_size, threads, least):
    from engine.sources import load as loading

    steps = Level()
    decode = loading.decode_with_remark

    def counted(*arguments):
        pixels = decode(*arguments)
        steps.add(1)
        return pixels

    monkeypatch.setattr(loading, "decode_with_remark", counted)
    monkeypatch.setattr(pipeline, "_AHEAD", least)
    # A backbone that is slower than the decoding, so that whatever can pile up does.
    backbone = Sums(steps, wait=0.002)
    run(Numbers(range(400)), space, backbone, batch_size=batch_size, threads=threads)
    # Loaded ahead, batches under way, and the batch being collected.
    ahead = max(least, 2 * threads * batch_size)
    assert steps.most <= ahead + (threads + 3) * batch_size
    assert steps.now == 0


def test_features_go_to_disk_part_by_part(space, monkeypatch):
    monkeypatch.setattr(step, "PART_BYTES", 10 * 8)
    run(Numbers(range(95)), space, batch_size=5)
    sizes = sorted(len(part.digests) for part in space.parts())
    assert sizes == [5, *[10] * 9]
    assert_right(space)


def test_features_go_to_disk_after_some_time_too(space, monkeypatch):
    monkeypatch.setattr(step, "PART_SECONDS", 0.05)
    run(Numbers(range(40)), space, Sums(wait=0.03), batch_size=2, threads=1)
    assert len(space.parts()) >= 4


def test_no_row_is_durable_before_its_feature(space, monkeypatch):
    """Each write of rows finds in the cache the features of all rows that say cached."""
    monkeypatch.setattr(step, "PART_BYTES", 8 * 8)
    from cache.dataset_writer import DatasetWriter

    append = DatasetWriter.append
    calls = []

    def checked(self, rows):
        rows = list(rows)
        digests = [row.digest for row in rows if row.status == "cached"]
        keys = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
        assert space.index().contains(keys).all()
        calls.append(len(rows))
        append(self, rows)

    monkeypatch.setattr(DatasetWriter, "append", checked)
    numbers = [n // 2 for n in range(120)]  # a duplicate after each image
    tally = run(Numbers(numbers), space, Sums(wait=0.001), batch_size=3)
    assert (tally.computed, tally.duplicates) == (60, 60)
    assert len(calls) > 5


def test_a_stop_finishes_what_is_under_way_and_the_next_pass_goes_on(space):
    stop = threading.Event()
    source = Numbers(range(200))
    with pytest.raises(Interrupted, match=r"stopped; (\d+) of 200 images are done and kept, run"):
        run(source, space, Sums(on_run=lambda number: number == 5 and stop.set()), stop=stop)
    kept = len(space.index())
    assert 5 * 4 <= kept <= 60
    assert len(space.rows()) == kept
    assert_right(space)
    tally = run(source, space)
    assert (tally.hits, tally.computed) == (kept, 200 - kept)
    assert_right(space)


def test_a_source_that_vanishes_fails_and_keeps_what_is_done(space, tmp_path):
    place = tmp_path / "disk"
    place.mkdir()

    class Pulled(Numbers):
        def read(self, sample):
            if not place.exists():
                raise Unreadable("cannot be read: No such file or directory")
            return super().read(sample)

    source = Pulled(range(200), place)
    pull = Sums(on_run=lambda number: number == 4 and place.rmdir())
    with pytest.raises(
        Failure, match=r"disk is gone; (\d+) of 200 .* kept, bring it back"
    ) as caught:
        run(source, space, pull)
    assert caught.value.exit_code == 1
    rows = space.rows()
    assert 16 <= len(rows) < 200
    assert {row.status for row in rows} == {"cached"}
    place.mkdir()
    tally = run(source, space)
    assert tally.hits == len(rows)
    assert tally.rejected == []


def test_one_file_that_vanishes_is_rejected_and_the_rest_goes_on(space):
    tally = run(Numbers([1, 2, -1, 3]), space)
    assert tally.rejected == [("c/2/-1", "cannot be read")]
    assert tally.computed == 3


def test_an_error_of_the_cache_ends_the_pass_and_keeps_finished_parts(space, monkeypatch):
    monkeypatch.setattr(step, "PART_BYTES", 10 * 8)
    from cache.space import Space

    append = Space.append
    calls = []

    def full(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        append(self, *arguments)

    monkeypatch.setattr(Space, "append", full)
    source = Numbers(range(200))
    with pytest.raises(OSError, match="No space"):
        run(source, space, batch_size=5)
    assert len(space.index()) == 20
    assert_right(space)
    assert run(source, space).hits == 20


def test_an_error_of_the_backbone_ends_the_pass(space):
    def fail(number):
        if number == 2:
            raise MemoryError

    with pytest.raises(MemoryError):
        run(Numbers(range(100)), space, Sums(on_run=fail))


def test_the_loader_keeps_order_and_the_bound_ahead():
    under_way = Level()

    class Slow(Numbers):
        def read(self, sample):
            under_way.add(1)
            time.sleep(0.001)
            return super().read(sample)

    source = Slow(range(60))
    loader = Loader(source, lambda digests: np.zeros(len(digests), bool), SIZE, Framing())
    with ThreadPoolExecutor(4) as pool:
        got = []
        for item in loader.load(source.samples, pool, 6, threading.Event()):
            under_way.add(-1)
            got.append(item.sample)
            time.sleep(0.002)
    assert got == source.samples
    assert under_way.most <= 7


def test_a_stop_leaves_what_is_decoded_ahead():
    source, stop = Numbers(range(60)), threading.Event()
    loader = Loader(source, lambda digests: np.zeros(len(digests), bool), SIZE, Framing())
    with ThreadPoolExecutor(2) as pool:
        loaded = loader.load(source.samples, pool, 20, stop)
        got = [next(loaded).sample, next(loaded).sample]
        stop.set()
        assert list(loaded) == []
    assert got == source.samples[:2]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_feature_that_is_not_finite_is_none_and_its_image_is_rejected(space, batch_size):
    class Divides(Sums):
        def features(self, pixels):
            features = super().features(pixels)
            features[features[:, 0] == 7, 1] = np.nan
            features[features[:, 0] == 9] = -np.inf
            return features

    numbers = [1, 7, 2, 7, 9, 3, 7, *range(20, 30)]
    tally = run(Numbers(numbers), space, Divides(), batch_size=batch_size)
    assert (tally.computed, tally.hits, tally.duplicates) == (13, 0, 0)
    assert sorted(tally.rejected) == [
        (f"c/{place}/{number}", NOT_FINITE)
        for place, number in enumerate(numbers)
        if number in (7, 9)
    ]
    assert len(space.index()) == 13
    assert_right(space)
    again = run(Numbers(numbers), space, Divides(), batch_size=batch_size)
    assert (again.computed, again.hits, len(again.rejected)) == (0, 13, 4)


def test_what_has_gone_from_the_cache_meanwhile_is_computed(space):
    """As where a gc was stopped between its look at the markers and its deletions."""
    run(Numbers([1, 2, 3, 4, 5]), space)
    (part,) = space.part_paths()
    run(Numbers([6, 7, 7]), space)
    backbone = Sums(on_run=lambda _: part.unlink(missing_ok=True))
    tally = run(Numbers([1, 2, 3, 4, 5, 6, 8, 2**24]), space, backbone, batch_size=1)
    assert (tally.computed, tally.hits, tally.duplicates) == (6, 1, 0)
    assert [reason for _, reason in tally.rejected] == ["too large"]
    assert len(features_of(space)) == 7
    assert_right(space)


def test_what_has_gone_and_cannot_be_computed_is_rejected(space):
    source = Numbers([1, 2, 3])
    run(source, space)
    (part,) = space.part_paths()

    def lose(_):
        part.unlink(missing_ok=True)
        source.read = lambda _: (_ for _ in ()).throw(Unreadable("is gone"))

    source.samples = [*source.samples, Sample("c/3/9", "c")]
    tally = run(source, space, Sums(on_run=lose))
    assert (tally.computed, tally.hits, len(tally.rejected)) == (1, 0, 3)
    assert list(features_of(space)) == ["c/3/9"]


def test_the_marker_comes_before_the_look_at_what_is_cached(space, monkeypatch):
    from cache.space import Space

    looked = []
    index = Space.index

    def watched(self):
        looked.append(len(self.partial_rows()))
        return index(self)

    monkeypatch.setattr(Space, "index", watched)
    run(Numbers([1, 2]), space)
    assert looked
    assert all(looked)
