import multiprocessing
import os
import tracemalloc
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from cache_samples import DESCRIPTION, filled, rows_of, vectors
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st

from cache.failures import Failure, UsageFailure
from cache.files import Damaged
from cache.merge import merge
from cache.part import open_part
from cache.row_files import RowColumns, read_rows, rows_bytes
from cache.rows import SPLITS, Row, Stat, stat_of
from cache.segments import segments_of
from cache.store import FeatureCache, Space


def test_what_is_appended_is_read_in_any_order(tmp_path):
    space = filled(tmp_path / "c")
    digests, features = vectors(40)
    order = np.random.default_rng(1).permutation(40)
    index = space.index()
    assert len(index) == 40
    assert np.array_equal(index.read(digests[order]), features[order])
    assert index.read(digests[:0]).shape == (0, 8)
    out = np.zeros((2, 8), np.float32)
    assert index.read(digests[[3, 3]], out) is out
    assert np.array_equal(out, features[[3, 3]])


def test_a_digest_that_is_not_there_is_a_clear_failure(tmp_path):
    index = filled(tmp_path / "c").index()
    strange, _ = vectors(3, seed=9)
    assert index.contains(strange).tolist() == [False] * 3
    with pytest.raises(Failure, match="3 of 3 features are not in the cache"):
        index.read(strange)


def test_look_up_tells_apart_digests_that_agree_in_eight_bytes(tmp_path):
    space = FeatureCache.create(tmp_path / "c").add_space(DESCRIPTION, 8)
    digests, features = vectors(50)
    digests[:, :8] = 7
    space.append(digests[:30], features[:30])
    space.append(digests[20:40], features[20:40])
    index = space.index()
    assert index.contains(digests).tolist() == [True] * 40 + [False] * 10
    assert np.array_equal(index.read(digests[:40]), features[:40])
    assert sum(len(keys) for keys, _ in index.blocks()) == 40


def test_blocks_give_each_row_once(tmp_path):
    space = filled(tmp_path / "c", parts=3, rows=3000, dimension=200)
    digests, features = vectors(9000, 200)
    space.append(digests[:50], features[:50])
    found = {
        bytes(k): v.copy()
        for keys, values in space.index().blocks()
        for k, v in zip(keys, values, strict=True)
    }
    assert len(found) == 9000
    assert all(np.array_equal(found[bytes(k)], v) for k, v in zip(digests, features, strict=True))


def test_spaces_never_mix(tmp_path):
    cache = FeatureCache.create(tmp_path / "c")
    one = cache.add_space(DESCRIPTION, 8)
    two = cache.add_space({**DESCRIPTION, "precision": "int8"}, 8)
    digests, features = vectors(4)
    one.append(digests, features)
    assert one.id != two.id
    assert not two.index().contains(digests).any()
    assert cache.add_space(DESCRIPTION, 8) == one
    assert [space.id for space in cache.spaces()] == sorted([one.id, two.id])
    with pytest.raises(UsageFailure, match="int8.*" if one.id < two.id else ".*int8"):
        cache.space()
    assert cache.space(one.id[:6]) == one


def test_a_part_moved_to_another_space_is_refused(tmp_path, caplog):
    space = filled(tmp_path / "c", parts=1)
    other = FeatureCache.open(tmp_path / "c").add_space({"backbone": "other"}, 8)
    part = space.part_paths()[0]
    part.rename(other.path / "parts" / part.name)
    assert len(other.index()) == 0
    assert "another feature space" in caplog.text


def test_of_parts_that_say_the_same_the_largest_is_read(tmp_path):
    """While a compaction deletes small parts one by one, nobody may count on those."""
    digests, features = vectors(40)
    space = filled(tmp_path, parts=20, rows=2)
    small = space.part_paths()
    space.append(digests, features)
    index = space.index()
    for path in small:
        path.unlink()
    index._refresh = None
    np.testing.assert_array_equal(index.read(digests), features)
    assert sum(len(keys) for keys, _ in index.blocks()) == 40


def test_reading_goes_on_when_parts_are_compacted_meanwhile(tmp_path):
    from cache.compact import compact

    space = filled(tmp_path / "c")
    digests, features = vectors(40)
    index = space.index()
    compact(FeatureCache.open(tmp_path / "c"))
    assert np.array_equal(index.read(digests), features)


@pytest.mark.parametrize("at", [0, 3])
def test_parts_that_are_compacted_while_they_are_opened_are_all_found(tmp_path, monkeypatch, at):
    from cache import space as spaces
    from cache.compact import compact

    space = filled(tmp_path / "c")
    digests, features = vectors(40)
    opened = []

    def beside(*arguments):
        opened.append(arguments)
        if len(opened) == at + 1:
            compact(FeatureCache.open(tmp_path / "c"))
        return open_part(*arguments)

    monkeypatch.setattr(spaces, "open_part", beside)
    index = space.index()
    assert index.contains(digests).all()
    assert np.array_equal(index.read(digests), features)


def test_parts_that_a_listing_misses_are_found_by_the_next(tmp_path, monkeypatch):
    """A new part written behind where the listing is, the old ones deleted before it gets there."""
    space = filled(tmp_path / "c")
    paths = space.part_paths()
    listings = [paths[:1], paths, paths]
    monkeypatch.setattr(Space, "part_paths", lambda _: listings.pop(0))
    assert space.index().contains(vectors(40)[0]).all()


def test_a_run_under_way_lies_over_the_last_finished_one(tmp_path):
    space = filled(tmp_path / "c", parts=1, rows=4)
    old = space.rows()
    moved = Row(old[0].path, "b", old[0].digest, "cached")
    writer = space.write_dataset("photos")
    writer.append([moved])
    assert space.rows() == [moved, *old[1:]]
    writer.append([old[1]])
    writer.finish()
    assert space.rows(["photos"]) == [moved, old[1]]
    assert len(list((space.path / "datasets").glob("*/*.h5"))) == 1
    with pytest.raises(UsageFailure, match="there is no dataset cats"):
        space.rows(["cats"])


def test_a_run_that_changes_no_row_writes_none_anew(tmp_path):
    space = filled(tmp_path / "c", parts=1, rows=4)
    rows = space.rows()
    (before,) = (space.path / "datasets").glob("*/*.h5")
    number = before.stat().st_ino
    writer = space.write_dataset("photos")
    writer.append(rows)
    writer.finish()
    (after,) = (space.path / "datasets").glob("*/*.h5")
    assert (after, after.stat().st_ino) == (before, number)
    writer = space.write_dataset("photos")
    writer.append(rows[::-1])
    writer.finish()
    assert space.rows() == rows[::-1]


def test_rows_that_are_damaged_are_written_anew(tmp_path):
    space = filled(tmp_path / "c", parts=1, rows=4)
    rows = space.rows()
    (path,) = (space.path / "datasets").glob("*/*.h5")
    data = bytearray(path.read_bytes())
    data[data.index(rows[0].digest)] ^= 1
    path.write_bytes(data)
    writer = space.write_dataset("photos")
    writer.append(rows)
    writer.finish()
    assert space.rows() == rows


def with_stat(row, *stat):
    return replace(row, stat=Stat(*stat))


def test_files_are_known_by_all_four_numbers(tmp_path):
    space = filled(tmp_path / "c", parts=1, rows=1)
    digests, _ = vectors(5)
    a, b, c, d, e = rows_of(digests)
    stat = (5, -7, 9, 2**63 - 1)
    rejected = Row("r", "a", b"", "rejected", "no image", stat=Stat(*stat))
    writer = space.write_dataset("more")
    writer.append([with_stat(a, *stat), with_stat(b, 5, 7, 9, 12), c, rejected])
    writer.finish()
    known = space.known_files("more")
    assert known.digests([a.path, b.path, c.path, "r", "new"], [Stat(*stat)] * 5) == [
        a.digest,
        None,
        None,
        None,
        None,
    ]
    for place in range(4):
        other = list(stat)
        other[place] -= 1
        assert known.digests([a.path], [Stat(*other)]) == [None]
    # What a run under way has found out counts, also that a file cannot be trusted any more.
    writer = space.write_dataset("more")
    writer.append([replace(a, digest=d.digest), with_stat(e, *stat)])
    known = space.known_files("more")
    assert known.digests([a.path, e.path], [Stat(*stat)] * 2) == [None, e.digest]
    assert len(known) == 2
    assert space.known_files("others").digests([a.path], [Stat(*stat)]) == [None]
    assert space.known_files("more").digests([], []) == []


def test_files_of_damaged_rows_are_read_again(tmp_path):
    space = filled(tmp_path / "c", parts=1, rows=1)
    digests, _ = vectors(2)
    a, b = (with_stat(row, 1, 2, 3, 4) for row in rows_of(digests))
    writer = space.write_dataset("more")
    writer.append([a])
    (path,) = (path for path in space.partial_rows() if a.digest in path.read_bytes())
    writer.append([b])
    path.write_bytes(path.read_bytes().replace(a.digest, bytes(32)))
    known = space.known_files("more")
    assert known.digests([a.path, b.path], [a.stat, b.stat]) == [None, b.digest]


def test_two_runs_of_a_dataset_at_once(tmp_path):
    space = filled(tmp_path / "c", parts=1, rows=4)
    rows = space.rows()
    first, second = space.write_dataset("photos"), space.write_dataset("photos")
    first.append(rows[:2])
    second.append(rows[2:])
    first.finish()
    assert space.rows() == rows[:2]
    second.append(rows[:2])
    second.finish()
    assert space.rows() == [*rows[2:], *rows[:2]]


texts = st.text(st.characters(exclude_categories=()), max_size=30)
digests = st.binary(min_size=32, max_size=32).filter(any)
counts = st.integers(0, 2**63 - 1)
times = st.integers(-(2**63), 2**63 - 1)
origin = (st.sampled_from(SPLITS), st.none() | st.builds(Stat, counts, times, times, counts))
cached = st.builds(Row, texts, st.none() | texts, digests, st.just("cached"), texts, *origin)
rejected = st.builds(
    Row, texts, st.none() | texts, st.just(b"") | digests, st.just("rejected"), texts, *origin
)


@FUZZ
@given(st.lists(cached | rejected, max_size=20))
def test_any_rows_round_trip(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("rows") / "rows.h5"
    path.write_bytes(rows_bytes(RowColumns(written)))
    assert read_rows(path) == written


def test_what_a_row_keeps_of_its_file_changes_with_the_file(tmp_path):
    file = tmp_path / "a.jpg"
    file.write_bytes(b"first")
    os.utime(file, ns=(0, -(10**18)))  # before 1970
    stat = stat_of(file.stat())
    assert stat == stat_of(file.stat())
    assert (stat.size, stat.modified) == (5, -(10**18))
    file.write_bytes(b"other")
    assert stat_of(file.stat()) != stat
    assert stat_of(os.stat_result((0, 2**127 + 3, *[0] * 8))).number == 3


def test_strange_names_round_trip(tmp_path):
    strange = ["a\nb", "\udcff\udc80.jpg", "x" * 4000, "\u202egpj", "nul\0", "é", "", "\ud800"]
    space = filled(tmp_path / "c")
    writer = space.write_dataset("\udcff\n")
    writer.append([Row(name, name, b"", "rejected", name) for name in strange])
    writer.finish()
    assert [row.path for row in space.rows(["\udcff\n"])] == strange


def test_notes_are_kept_and_replaced(tmp_path):
    space = filled(tmp_path / "c")
    space.write_note("parity", {"cosine": 0.9})
    space.write_note("parity", {"cosine": 0.99})
    assert space.notes() == {"parity": {"cosine": 0.99}}


def test_what_is_no_cache_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(Failure, match="holds other things"):
        FeatureCache.create(tmp_path / "photos")
    with pytest.raises(Failure, match="is a file"):
        FeatureCache.create(tmp_path / "photos" / "a.jpg")
    with pytest.raises(Failure, match="is not a cache; extract a source"):
        FeatureCache.open(tmp_path / "photos")


def test_a_damaged_block_is_never_served_and_exactly_its_part_is_lost(tmp_path):
    space = filled(tmp_path / "c", parts=2)
    digests, features = vectors(20)
    lost = next(p for p in space.part_paths() if features[0].tobytes() in p.read_bytes())
    data = bytearray(lost.read_bytes())
    data[data.find(features[0].tobytes()) + 3] ^= 1
    lost.write_bytes(data)
    index = space.index()
    with pytest.raises(Damaged, match="run the extraction again"):
        index.read(digests)
    assert space.index().contains(digests).tolist() == [False] * 10 + [True] * 10
    assert [p.name for p in (space.path / "damaged").iterdir()] == [lost.name]


def test_a_damaged_table_is_not_served_and_the_next_run_replaces_it(tmp_path):
    space = filled(tmp_path / "c")
    rows_before = space.rows()
    segment = next((space.path / "datasets").glob("*/*.h5"))
    segment.write_bytes(segment.read_bytes()[:2000])
    with pytest.raises(Damaged, match="run the extraction of photos again"):
        space.rows()
    writer = space.write_dataset("photos")
    writer.append(rows_before)
    writer.finish()
    assert space.rows() == rows_before


def test_a_full_disk_changes_nothing(tmp_path, monkeypatch):
    import errno
    from pathlib import Path

    space = filled(tmp_path / "c")
    before = sorted(str(path) for path in (tmp_path / "c").rglob("*"))

    def full(path, data):
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    digests, features = vectors(4, seed=5)
    writes = [
        lambda: space.append(digests, features),
        lambda: space.write_dataset("photos").append(rows_of(digests)),
        lambda: space.write_dataset("photos").finish(),
        lambda: space.write_note("parity", {}),
    ]
    for write in writes:
        with pytest.raises(OSError, match="No space left"):
            write()
    monkeypatch.undo()
    after = sorted(str(path) for path in (tmp_path / "c").rglob("*"))
    assert [path for path in after if not path.endswith("notes")] == before


def _extract(path, seed):
    space = FeatureCache.create(path).add_space(DESCRIPTION, 8)
    digests, features = vectors(60)
    index = space.index()
    writer = space.write_dataset("photos")
    for start in np.random.default_rng(seed).permutation(np.arange(0, 60, 5)):
        chosen = slice(start, start + 5)
        if not index.contains(digests[chosen]).all():
            space.append(digests[chosen], features[chosen])
        writer.append(rows_of(digests[chosen]))
    writer.finish()


@pytest.mark.slow
def test_processes_at_once_give_what_one_gives(tmp_path):
    spawned = multiprocessing.get_context("spawn")
    processes = [spawned.Process(target=_extract, args=(tmp_path / "c", n)) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    space = FeatureCache.open(tmp_path / "c").space()
    digests, features = vectors(60)
    assert np.array_equal(space.index().read(digests), features)
    assert sorted(row.path for row in space.rows()) == sorted(
        r.path
        for r in [row for start in range(0, 60, 5) for row in rows_of(digests[start : start + 5])]
    )


def test_a_row_that_is_read_twice_does_not_stand_for_another(tmp_path):
    space = filled(tmp_path, parts=1, rows=10)
    digests, features = vectors(10)
    for wanted in ([0, 0, *range(2, 10)], [9] * 10, [3, 1, 3]):
        np.testing.assert_array_equal(space.index().read(digests[wanted]), features[wanted])


def test_nothing_is_read_where_nothing_is_asked_for(tmp_path):
    none = np.empty((0, 32), np.uint8)
    assert filled(tmp_path).index().read(none).shape == (0, 8)


def test_the_only_space_with_a_dataset_is_taken(tmp_path):
    space = filled(tmp_path / "c", parts=1)
    cache = FeatureCache.open(tmp_path / "c")
    digests, features = vectors(4)
    bare = cache.add_space({**DESCRIPTION, "precision": "int8"}, 8)
    bare.append(digests, features)
    assert cache.space() == space
    assert cache.space(bare.id) == bare
    further = filled(tmp_path / "c", parts=1, description={**DESCRIPTION, "layer": "other"})
    with pytest.raises(UsageFailure, match="holds 2 feature spaces") as refused:
        cache.space()
    assert further.id in str(refused.value)
    assert bare.id not in str(refused.value)


def test_what_a_lookup_needs_does_not_grow_with_the_digests(tmp_path):
    space = filled(tmp_path / "c", parts=1, rows=4)
    digests = np.repeat(vectors(4)[0], 100_000, axis=0)
    index = space.index()
    tracemalloc.start()
    there = index.contains(digests)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert there.all()
    assert peak < 400_000 * 10 + 2**16 * 250


def test_known_files_are_held_once(tmp_path):
    space = filled(tmp_path / "c", parts=1, rows=4)
    digest = vectors(1)[0][0].tobytes()
    writer = space.write_dataset("many")
    stat = Stat(1, 2, 3, 4)
    writer.append(Row(f"{n:06d}", "a", digest, "cached", stat=stat) for n in range(50_000))
    writer.finish()
    tracemalloc.start()
    known = space.known_files("many")
    size, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert known.digests(["049999"], [stat]) == [digest]
    assert size < 80 * 50_000
    assert peak < 160 * 50_000


def test_the_origin_of_a_dataset_is_that_of_its_last_run(tmp_path):
    space = filled(tmp_path / "cache")
    digests, _ = vectors(40)
    assert space.origin("photos") == {}
    assert space.origin("nothing") == {}
    space.write_dataset("photos", origin={"base": "/elsewhere"}).append(rows_of(digests))
    assert space.origin("photos") == {"base": "/elsewhere"}
    space.write_dataset("photos")
    assert space.origin("photos") == {"base": "/elsewhere"}
    other = FeatureCache.create(tmp_path / "other")
    merge(other, [FeatureCache.open(tmp_path / "cache")])
    assert other.space().origin("photos") == {"base": "/elsewhere"}
    space.write_dataset("photos", origin={})
    assert space.origin("photos") == {}


def test_labels_are_counted_in_finished_rows_and_in_those_of_a_run_under_way(tmp_path):
    space = filled(tmp_path / "cache")
    segments = segments_of(space.path, "photos")
    expected = Counter(row.label for row in space.rows())
    assert segments.label_counts() == expected
    first = space.rows()[0]
    space.write_dataset("photos").append([replace(first, label="moved")])
    expected = expected - Counter([first.label]) + Counter(["moved"])
    assert segments.label_counts() == expected
    assert segments_of(space.path, "nothing").label_counts() == {}
