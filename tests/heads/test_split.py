"""How images are divided: exactly, class by class, by seed."""

import numpy as np
import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st

from cache.failures import Failure
from engine.heads.split import SplitOptions, folds, split


def sizes(parts):
    return len(parts.train), len(parts.validation), len(parts.test)


@pytest.mark.parametrize(
    "counts", [(2500, 2499), (2499, 2500), (4998, 1), (4900, 99), (1667, 1666, 1666), (25,) * 199]
)
def test_the_report_of_169_minutes_has_3499_750_750(counts):
    counts = (*counts, 4999 - sum(counts)) if sum(counts) < 4999 else counts
    labels = np.repeat(np.arange(len(counts)), counts)
    parts = split(labels)
    assert sizes(parts) == (3499, 750, 750)


def test_the_classes_of_the_report_are_in_proportion():
    labels = np.repeat([0, 1], [2500, 2499])
    parts = split(labels)
    per_class = [np.bincount(labels[side]).tolist() for side in (parts.train, parts.test)]
    assert per_class == [[1750, 1749], [375, 375]]


@FUZZ
@given(
    counts=st.lists(st.integers(2, 60), min_size=2, max_size=12),
    first=st.integers(40, 90),
    second=st.integers(1, 59),
    seed=st.integers(0, 2**32),
)
def test_a_split_is_exact_stratified_and_disjoint(counts, first, second, seed):
    second = min(second, 99 - first)
    percentages = (first, second, 100 - first - second)
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    try:
        parts = split(labels, SplitOptions(percentages, seed))
    except Failure:
        shares = [len(labels) * share / 100 for share in percentages]
        assert min(shares) < 1 or min(counts) * first < 100
        return
    sides = (parts.train, parts.validation, parts.test)
    np.testing.assert_array_equal(np.sort(np.concatenate(sides)), np.arange(len(labels)))
    for side, share in zip(sides, percentages, strict=True):
        assert abs(len(side) - len(labels) * share / 100) < 1
        assert (np.diff(side) > 0).all()
        got = np.bincount(labels[side], minlength=len(counts))
        exact = np.array(counts) * share / 100
        if min(counts) * first >= 100:  # no class needs to be helped to a training image
            assert (abs(got - exact) <= 1).all()


def test_a_seed_is_a_split():
    labels = np.repeat([0, 1, 2], 30)
    one, again, other = (split(labels, SplitOptions(seed=seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.train, again.train)
    assert not np.array_equal(one.train, other.train)


def test_a_class_with_one_image_is_trained_on():
    labels = np.array([0] * 50 + [1] * 50 + [2])
    for seed in range(5):
        assert 100 in split(labels, SplitOptions(seed=seed)).train


def test_too_few_images_are_refused():
    with pytest.raises(Failure, match="4 images split 70/15/15 leave none for test"):
        split(np.array([0, 0, 1, 1]))
    with pytest.raises(Failure, match="60 of 200 classes have no image left to train on"):
        split(np.arange(200))


def test_two_percentages_leave_no_validation():
    labels = np.repeat([0, 1], 50)
    parts = split(labels, SplitOptions((80, 20)))
    assert sizes(parts) == (80, 0, 20)
    assert parts.name == "80/20"


def test_the_split_of_the_source_is_taken_where_there_is_one():
    labels = np.repeat([0, 1], 50)
    own = np.tile([0, 0, 0, 1, 2], 20)
    parts = split(labels, own=own)
    assert parts.name == "own"
    np.testing.assert_array_equal(parts.validation, np.flatnonzero(own == 1))
    assert split(labels, SplitOptions((70, 15, 15)), own=own).name == "70/15/15"
    assert split(labels, own=np.full(100, -1)).name == "70/15/15"


def test_a_source_without_test_images_is_judged_by_its_validation_images():
    labels = np.repeat([0, 1], 50)
    own = np.tile([0, 0, 0, 0, 1], 20)
    parts = split(labels, own=own)
    np.testing.assert_array_equal(parts.test, np.flatnonzero(own == 1))
    assert sizes(parts) == (68, 12, 20)  # 15 % of those to train on, class by class
    assert np.bincount(labels[parts.validation]).tolist() == [6, 6]
    assert "validation images are the test" in parts.remarks[0]
    assert "12 of its 80 training images are" in parts.remarks[1]


def test_a_source_without_validation_images_lends_some_to_train_on():
    labels = np.repeat([0, 1], 50)
    own = np.tile([0, 0, 0, 0, 2], 20)
    parts = split(labels, own=own)
    np.testing.assert_array_equal(parts.test, np.flatnonzero(own == 2))
    assert sizes(parts) == (68, 12, 20)
    assert len(parts.remarks) == 1
    np.testing.assert_array_equal(split(labels, own=own).validation, parts.validation)
    assert (split(labels, SplitOptions(seed=1), own=own).validation != parts.validation).any()


def test_a_source_of_one_side_is_divided_as_if_it_had_none():
    labels = np.repeat([0, 1], 50)
    parts = split(labels, own=np.where(np.arange(100) % 10, 0, -1))
    assert parts.name == "70/15/15"


def test_a_split_of_the_source_that_is_not_there_is_refused():
    labels = np.repeat([0, 1], 50)
    with pytest.raises(Failure, match="no split of its own; give percentages"):
        split(labels, SplitOptions(own=True), own=np.full(100, -1))
    with pytest.raises(Failure, match="100 images to train on and 0 to judge by"):
        split(labels, SplitOptions(own=True), own=np.zeros(100, int))


@FUZZ
@given(
    counts=st.lists(st.integers(8, 40), min_size=2, max_size=5),
    size=st.integers(2, 6),
    seed=st.integers(0, 2**32),
)
def test_groups_stay_whole_and_the_shares_about_right(counts, size, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    rng = np.random.default_rng(seed)
    groups = np.arange(len(labels))
    for label in range(len(counts)):
        members = rng.permutation(np.flatnonzero(labels == label))[:size]
        groups[members] = members[0]
    parts = split(labels, SplitOptions(seed=seed), groups=groups)
    side_of = np.empty(len(labels), int)
    for number, side in enumerate((parts.train, parts.validation, parts.test)):
        side_of[side] = number
    assert sum(sizes(parts)) == len(labels)
    for group in np.unique(groups):
        assert len(set(side_of[groups == group])) == 1
    assert abs(len(parts.test) - 0.15 * len(labels)) <= size * len(counts)


@FUZZ
@given(
    counts=st.lists(st.integers(2, 40), min_size=2, max_size=5),
    count=st.integers(2, 5),
    seed=st.integers(0, 2**32),
)
def test_folds_are_alike(counts, count, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    if count > len(labels):
        return
    fold_of = folds(labels, count, seed)
    in_all = np.bincount(fold_of, minlength=count)
    assert in_all.max() - in_all.min() <= 1
    for label in range(len(counts)):
        of_class = np.bincount(fold_of[labels == label], minlength=count)
        assert of_class.max() - of_class.min() <= 1


def test_too_few_images_for_folds_are_refused():
    with pytest.raises(Failure, match="too few for 5 folds"):
        folds(np.array([0, 0, 1, 1]), 5)
    with pytest.raises(Failure, match="each class needs two"):
        folds(np.array([0, 0, 0, 1]), 2)
