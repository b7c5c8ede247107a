"""The dataset of a cache and its split."""

import numpy as np
import pytest
from cache_samples import DESCRIPTION, vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.failures import Failure, UsageFailure
from cache.rows import Row
from cache.store import FeatureCache
from engine.heads.dataset import load_dataset, split

DIGESTS, FEATURES = vectors(8, 4)


def space_with(path, rows, held=DIGESTS, name="photos"):
    space = FeatureCache.create(path).add_space(DESCRIPTION, 4)
    if len(held):
        space.append(held, FEATURES[: len(held)])
    writer = space.write_dataset(name)
    writer.append(rows)
    writer.finish()
    return space


def row(number, label, path=None):
    name = path or f"{number}.jpg"
    return Row(name, label, DIGESTS[number].tobytes(), "cached")


def load(space, names=None):
    return load_dataset(space, space.index(), names)


def test_images_are_sorted_by_digest_whatever_the_order_of_rows(tmp_path):
    rows = [row(number, "ab"[number % 2]) for number in range(8)]
    one = load(space_with(tmp_path / "one", rows))
    two = load(space_with(tmp_path / "two", rows[::-1], DIGESTS[:8]))
    assert one.classes == two.classes == ("a", "b")
    assert one.paths == two.paths
    np.testing.assert_array_equal(one.digests, two.digests)
    np.testing.assert_array_equal(one.labels, two.labels)
    assert [digest.tobytes() for digest in one.digests] == sorted(d.tobytes() for d in DIGESTS)
    expected = {DIGESTS[number].tobytes(): number % 2 for number in range(8)}
    assert [expected[digest.tobytes()] for digest in one.digests] == one.labels.tolist()


def test_identical_bytes_count_once_under_their_first_name(tmp_path):
    rows = [row(0, "a", "z.jpg"), row(0, "a", "c.jpg"), row(0, "a", "k.jpg"), row(1, "b")]
    dataset = load(space_with(tmp_path, rows))
    assert len(dataset.labels) == 2
    assert dataset.duplicates == 2
    assert sorted(dataset.paths) == ["1.jpg", "c.jpg"]


def test_the_same_bytes_under_two_labels_are_left_out(tmp_path):
    rows = [row(0, "a"), row(1, "b"), row(2, "a"), row(2, "b", "other.jpg")]
    dataset = load(space_with(tmp_path, rows))
    assert dataset.conflicting == 1
    assert dataset.duplicates == 0
    assert DIGESTS[2].tobytes() not in {digest.tobytes() for digest in dataset.digests}


def test_the_same_bytes_under_two_labels_are_found_across_datasets(tmp_path):
    space_with(tmp_path, [row(0, "a"), row(1, "b"), row(2, "a")], name="one")
    space = space_with(tmp_path, [row(2, "b")], held=(), name="two")
    assert load(space).conflicting == 1
    assert load(space, ["one"]).conflicting == 0


def test_what_has_no_label_or_no_features_is_counted(tmp_path):
    rejected = Row("broken.jpg", "a", b"", "rejected", "the file is empty")
    rows = [row(0, "a"), row(1, "b"), row(2, None), row(3, "a"), rejected]
    dataset = load(space_with(tmp_path, rows, DIGESTS[:3]))
    assert (dataset.unlabelled, dataset.missing, dataset.rejected) == (1, 1, 1)
    assert len(dataset.labels) == 2


def test_an_image_with_a_label_somewhere_has_it(tmp_path):
    dataset = load(space_with(tmp_path, [row(0, None, "x.jpg"), row(0, "a"), row(1, "b")]))
    assert dataset.unlabelled == 0
    assert sorted(dataset.paths) == ["0.jpg", "1.jpg"]


def test_no_labels_one_class_and_unknown_datasets_are_one_line(tmp_path):
    with pytest.raises(Failure, match="2 have no label"):
        load(space_with(tmp_path / "none", [row(0, None), row(1, None)]))
    one = space_with(tmp_path / "one", [row(0, "a"), row(1, "a")])
    with pytest.raises(Failure, match="all 2 images are a"):
        load(one)
    with pytest.raises(UsageFailure, match="no dataset birds; there are: photos"):
        load(one, ["birds"])


def test_labels_of_any_text(tmp_path):
    labels = ["\udcff<b>", "é\n"]
    dataset = load(space_with(tmp_path, [row(0, labels[0]), row(1, labels[1])]))
    assert set(dataset.classes) == set(labels)


def sizes(parts):
    return len(parts.train), len(parts.validation), len(parts.test)


@pytest.mark.parametrize(
    "counts", [(2500, 2499), (2499, 2500), (4998, 1), (4900, 99), (1667, 1666, 1666), (25,) * 199]
)
def test_the_report_of_169_minutes_has_3499_750_750(counts):
    counts = (*counts, 4999 - sum(counts)) if sum(counts) < 4999 else counts
    labels = np.repeat(np.arange(len(counts)), counts)
    parts = split(labels, (70, 15, 15), seed=0)
    assert sizes(parts) == (3499, 750, 750)


def test_the_classes_of_the_report_are_in_proportion():
    labels = np.repeat([0, 1], [2500, 2499])
    parts = split(labels)
    per_class = [np.bincount(labels[side]).tolist() for side in (parts.train, parts.test)]
    assert per_class == [[1750, 1749], [375, 375]]


@settings(deadline=None)
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
        parts = split(labels, percentages, seed)
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
    one, again, other = (split(labels, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.train, again.train)
    assert not np.array_equal(one.train, other.train)


def test_a_class_with_one_image_is_trained_on():
    labels = np.array([0] * 50 + [1] * 50 + [2])
    for seed in range(5):
        assert 100 in split(labels, seed=seed).train


def test_too_few_images_are_refused():
    with pytest.raises(Failure, match="4 images split 70/15/15 leave none for test"):
        split(np.array([0, 0, 1, 1]))
    with pytest.raises(Failure, match="60 of 200 classes have no image left to train on"):
        split(np.arange(200))
