"""Near-duplicates by cosine."""

import numpy as np
import pytest

from engine.heads.neighbours import groups_of, near_pairs


def features_of(count, dimension, copies, noise=0.05, seed=0):
    """Return random features of which the last `copies` are noisy copies of the first ones."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((count, dimension)).astype(np.float32)
    features[count - copies :] = features[:copies] * 3
    features[count - copies :] += noise * rng.standard_normal((copies, dimension))
    return features


def cosines_of(features):
    """Return the cosines around the mean, all with all, the lower half zero."""
    common = features.sum(axis=0) / (len(features) + 16)
    centred = features - common
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return np.triu(unit @ unit.T, 1)


@pytest.mark.parametrize("dimension", [40, 2000])  # as it is, and by a projection
def test_pairs_are_those_of_the_whole_matrix(dimension, monkeypatch):
    import engine.heads.neighbours as neighbours

    monkeypatch.setattr(neighbours, "_BLOCK", 64)
    features = features_of(300, dimension, 20, noise=1.0)
    cosines = cosines_of(features)
    pairs = near_pairs(features, 0.8)
    assert {tuple(pair) for pair in pairs.images.tolist()} == {
        tuple(pair) for pair in np.argwhere(cosines >= 0.8).tolist()
    }
    assert len(pairs.images) >= 20
    np.testing.assert_allclose(pairs.cosines, cosines[tuple(pairs.images.T)], atol=1e-5)
    assert (np.diff(pairs.cosines) <= 0).all()


def test_the_nearest_are_kept_where_there_are_too_many():
    pairs = near_pairs(features_of(100, 30, 10), -1.0, most=7)
    assert len(pairs.images) == 7
    assert pairs.cosines.min() > 0.99


def test_features_of_zeros_are_near_nothing():
    assert len(near_pairs(np.zeros((4, 8), np.float32)).images) == 0


def test_what_all_images_have_in_common_makes_no_pair():
    features = features_of(300, 40, 20)
    alone = near_pairs(features)
    shifted = near_pairs(features + np.float32(5))  # strangers have a cosine of 0.96
    assert len(alone.images) == 20
    np.testing.assert_array_equal(np.sort(shifted.images, axis=0), np.sort(alone.images, axis=0))


def test_two_copies_alone_are_a_pair():
    features = features_of(2, 40, 1)
    assert near_pairs(features).images.tolist() == [[0, 1]]
    assert not len(near_pairs(features_of(2, 40, 0)).images)


def test_groups_are_what_pairs_connect():
    features = np.array([[1, 0], [0, 1], [1, 0.01], [-1, 0], [1, -0.01]], np.float32)
    groups = groups_of(near_pairs(features), 5)
    assert groups[0] == groups[2] == groups[4]
    assert len({groups[0], groups[1], groups[3]}) == 3


def test_nearest_pairs_hold_no_whole_class_together():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((200, 40)).astype(np.float32)
    features[:100, 0] += 12  # all alike; what both classes have in common is no part of it
    features[100:, 0] -= 12
    features[150:160] = features[:10] * 1.01
    pairs = near_pairs(features)
    assert np.bincount(groups_of(pairs, 200)).max() > 90
    groups = groups_of(pairs.of_nearest(), 200)
    assert np.bincount(groups).max() < 60
    assert all(groups[number] == groups[150 + number] for number in range(10))
