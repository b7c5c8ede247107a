"""Rows of a dataset that several runs write at once, each those of its share."""

import hashlib

import pytest

from cache.failures import UsageFailure
from cache.rows import Row
from cache.segments import segments_of
from cache.share import Share
from cache.store import FeatureCache
from cache.verify import verify

PATHS = [f"a/{number}.jpg" for number in range(60)]


@pytest.fixture
def space(tmp_path):
    return FeatureCache.create(tmp_path / "c").add_space({"backbone": "none"}, 2)


def row(path, reason="no image"):
    return Row(path, "a", hashlib.sha256(path.encode()).digest(), "rejected", reason)


def held(share, paths=PATHS):
    return [path for path in paths if share.holds(path)]


def write(space, share, paths=PATHS, reason="no image"):
    """Write a share's rows in two steps; return what finishes it."""
    writer = space.write_dataset("d", share=share)
    rows = [row(path, reason) for path in (held(share, paths) if share else paths)]
    writer.append(rows[::2])
    writer.append(rows[1::2])
    return writer.finish


def reasons(space):
    return {row.path: row.reason for row in space.rows(["d"])}


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_shares_are_disjoint_and_all(count):
    shares = [held(Share(index, count)) for index in range(count)]
    assert sorted(path for share in shares for path in share) == sorted(PATHS)


def test_a_path_is_in_the_same_share_on_each_machine():
    assert held(Share(1, 4), PATHS[:12]) == [f"a/{number}.jpg" for number in [3, 5, 10, 11]]


@pytest.mark.parametrize(("index", "count"), [(3, 3), (-1, 3), (0, 0)])
def test_no_share_beyond_the_last(index, count):
    with pytest.raises(UsageFailure, match="there is no share"):
        Share(index, count)


def test_shares_that_are_written_and_finished_at_once_lose_nothing(space, tmp_path):
    finishes = [write(space, Share(index, 5)) for index in range(5)]
    assert sorted(reasons(space)) == sorted(PATHS)
    for finish in finishes:
        finish()
        assert sorted(reasons(space)) == sorted(PATHS)
    assert len(list(segments_of(space.path, "d").folder.glob("*.h5"))) == 5
    assert not space.partial_rows()
    assert verify(FeatureCache.open(tmp_path / "c")).is_sound


def test_a_share_again_replaces_its_rows_alone(space):
    for index in range(3):
        write(space, Share(index, 3))()
    shorter = [path for path in PATHS if path not in held(Share(1, 3))[:4]]
    write(space, Share(1, 3), shorter, "again")()
    assert sorted(reasons(space)) == sorted(shorter)
    again = {path for path, reason in reasons(space).items() if reason == "again"}
    assert again == set(held(Share(1, 3), shorter))


def test_what_a_killed_run_of_a_share_wrote_goes_with_the_next(space):
    write(space, Share(0, 2), [*PATHS, "b", "c", "d"])  # never finished
    write(space, Share(1, 2), PATHS)()
    write(space, Share(0, 2), PATHS)()
    assert sorted(reasons(space)) == sorted(PATHS)
    assert not space.partial_rows()


def test_other_numbers_of_shares_and_all_at_once_come_after(space):
    write(space, None)()
    write(space, Share(0, 2), PATHS, "half")()
    write(space, Share(1, 3), PATHS[:30], "third")()
    expected = dict.fromkeys(PATHS, "no image")
    expected.update(dict.fromkeys(held(Share(0, 2)), "half"))
    for path in held(Share(1, 3)):
        del expected[path]
    expected.update(dict.fromkeys(held(Share(1, 3), PATHS[:30]), "third"))
    assert reasons(space) == expected
    # A share whose rows have been replaced since writes them anew, though they are the same.
    write(space, Share(0, 2), PATHS, "half")()
    assert reasons(space) == {**expected, **dict.fromkeys(held(Share(0, 2)), "half")}
    write(space, None, PATHS, "all")()
    assert reasons(space) == dict.fromkeys(PATHS, "all")
    assert len(list(segments_of(space.path, "d").folder.glob("*.h5"))) == 1


def test_the_same_rows_again_write_no_file(space):
    for index in range(2):
        write(space, Share(index, 2))()
    files = sorted(segments_of(space.path, "d").folder.glob("*.h5"))
    write(space, Share(1, 2))()
    assert sorted(segments_of(space.path, "d").folder.glob("*.h5")) == files
