"""gc while an extraction begins, is under way or ends: no row without its feature."""

import os
import time
from dataclasses import replace

import numpy as np
import pytest
from cache_samples import filled, rows_of, vectors

from cache import remove
from cache.aside import move_aside, parts_aside
from cache.collect import find_garbage
from cache.remove import remove_garbage
from cache.store import FeatureCache
from cache.verify import verify

ORPHANS = vectors(5, seed=3)


@pytest.fixture
def space(tmp_path):
    """A cache with 5 features that no row names, all files two hours old."""
    space = filled(tmp_path / "c", parts=2)
    digests, features = vectors(3)
    space.append(np.concatenate([digests, ORPHANS[0]]), np.concatenate([features, ORPHANS[1]]))
    age(tmp_path / "c")
    return space


def age(folder):
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - 7200, time.time() - 7200))


def cache_of(space):
    return FeatureCache.open(space.path.parents[1])


def held(space):
    return int(space.index().contains(ORPHANS[0]).sum())


@pytest.mark.parametrize("min_age", [0.0, 3600.0])
def test_a_run_that_began_since_gc_looked_keeps_what_it_may_count_on(space, min_age):
    garbage = find_garbage(cache_of(space), min_age)
    assert garbage.rows == 5
    run = space.write_dataset("more")
    assert held(space) == 5
    removed = remove_garbage(cache_of(space), garbage)
    assert (removed.rows, removed.left) == (0, [space.id])
    run.append(rows_of(ORPHANS[0]))
    run.finish()
    assert held(space) == 5
    assert not verify(cache_of(space)).damaged


@pytest.mark.parametrize("finish", [False, True])
@pytest.mark.parametrize("step", ["write_anew", "move_aside"])
def test_so_does_one_that_begins_or_ends_while_gc_works(space, monkeypatch, step, finish):
    original, seen = getattr(remove, step), []

    def beside(*arguments):
        run = space.write_dataset("more")
        seen.append(held(space))
        if finish:
            run.append(rows_of(ORPHANS[0]))
            run.finish()
        return original(*arguments)

    garbage = find_garbage(cache_of(space))
    monkeypatch.setattr(remove, step, beside)
    removed = remove_garbage(cache_of(space), garbage)
    assert (seen, removed.rows, removed.left) == ([5], 0, [space.id])
    assert held(space) == 5
    assert not parts_aside(space.path)


def test_one_that_begins_after_the_parts_are_out_of_sight_does_not_count_on_them(
    space, monkeypatch
):
    seen = []

    def beside(parts):
        moved = move_aside(parts)
        space.write_dataset("more")
        seen.append(held(space))
        return moved

    garbage = find_garbage(cache_of(space))
    monkeypatch.setattr(remove, "move_aside", beside)
    remove_garbage(cache_of(space), garbage)
    assert seen == [0]
    assert space.index().contains(vectors(20)[0]).all()


def test_what_a_killed_gc_moved_comes_back_and_is_judged_anew(space):
    move_aside(space.part_paths()[:1])
    assert parts_aside(space.path)
    before = find_garbage(cache_of(space))
    assert not parts_aside(space.path)
    assert before.rows == 5
    assert space.index().contains(vectors(20)[0]).all()


def unused(space):
    other = cache_of(space).add_space({"backbone": "unused"}, 8)
    other.append(*ORPHANS)
    age(space.path.parents[1])
    return other


def test_an_unused_space_that_a_run_begins_in_stays(space, monkeypatch):
    other = unused(space)
    runs = []

    def beside(parts):
        runs.append(other.write_dataset("more"))
        assert held(other) == 5
        return move_aside(parts)

    garbage = find_garbage(cache_of(space))
    assert garbage.spaces == [other.path]
    monkeypatch.setattr(remove, "move_aside", beside)
    removed = remove_garbage(cache_of(space), garbage)
    assert other.id in removed.left
    assert not removed.spaces
    assert held(other) == 5
    runs[0].append(rows_of(ORPHANS[0]))
    runs[0].finish()
    assert len(cache_of(space).spaces()) == 2
    assert not verify(cache_of(space)).damaged


def test_a_run_that_begins_while_a_space_goes_brings_the_space_back(space):
    other = unused(space)
    runs = []

    class Folder(type(other.path)):
        """The folder of the space: a run begins where gc lists what to delete."""

        def rglob(self, pattern):
            paths = list(super().rglob(pattern))
            runs.append(other.write_dataset("more"))
            assert held(other) == 0
            return paths

    garbage = find_garbage(cache_of(space))
    remove_garbage(cache_of(space), replace(garbage, spaces=[Folder(other.path)]))
    other.append(*ORPHANS)
    runs[0].append(rows_of(ORPHANS[0]))
    runs[0].finish()
    (again,) = (space for space in cache_of(space).spaces() if space.id == other.id)
    assert held(again) == 5
    assert len(again.rows()) == 5
    assert not verify(cache_of(space)).damaged
