"""The labelled images of a cache's datasets with their features."""

from dataclasses import replace

import numpy as np
import pytest
from cache_samples import DESCRIPTION, vectors
from fit_samples import labelled_cache

from cache.failures import Failure, UsageFailure
from cache.rows import Row
from cache.store import FeatureCache
from engine.heads.open_features import open_features

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
    return open_features(space, names)


def test_a_line_says_how_much_there_is(tmp_path):
    features = load(space_with(tmp_path / "c", [row(n, "ab"[n % 2]) for n in range(5)]))
    assert repr(features) == "Features(5 x 4, {'a': 3, 'b': 2}, 0 rejected)"
    many = replace(features, classes=tuple("abcdefghijklmn"))
    assert repr(many).endswith(", 'j': 0} and 4 classes more, 0 rejected)")


def test_images_are_sorted_by_digest_whatever_the_order_of_rows(tmp_path):
    rows = [row(number, "ab"[number % 2]) for number in range(8)]
    one = load(space_with(tmp_path / "one", rows))
    two = load(space_with(tmp_path / "two", rows[::-1], DIGESTS[:8]))
    assert one.classes == two.classes == ("a", "b")
    assert one.paths == two.paths
    np.testing.assert_array_equal(one.digests, two.digests)
    np.testing.assert_array_equal(one.y, two.y)
    assert [digest.tobytes() for digest in one.digests] == sorted(d.tobytes() for d in DIGESTS)
    expected = {DIGESTS[number].tobytes(): number % 2 for number in range(8)}
    assert [expected[digest.tobytes()] for digest in one.digests] == one.y.tolist()


def test_paths_of_any_characters_go_with_their_images(tmp_path):
    """They are cut out of one text, of which a character takes four bytes if one does."""
    names = ["a.jpg", "bjørn/ü.jpg", "猫/一.jpg", "🐈.jpg", "e\u0301.jpg", " .jpg", "a\tb", "c"]
    rows = [row(number, "ab"[number % 2], name) for number, name in enumerate(names)]
    features = load(space_with(tmp_path, rows))
    known = {DIGESTS[number].tobytes(): name for number, name in enumerate(names)}
    assert list(features.paths) == [known[digest.tobytes()] for digest in features.digests]


def test_of_some_samples_alone(tmp_path):
    """Labels that another sample of a dataset gives an image are not asked about then."""
    rows = [row(0, "a"), row(1, "b"), row(2, "c"), row(1, "a", "again.jpg")]
    space = space_with(tmp_path, rows)
    features = open_features(space, ["photos"], {"0.jpg", "1.jpg"})
    assert features.classes == ("a", "b")
    assert sorted(features.paths) == ["0.jpg", "1.jpg"]
    assert not features.conflicts
    assert len(open_features(space, ["photos"]).conflicts) == 1


def test_identical_bytes_count_once_under_their_first_name(tmp_path):
    rows = [row(0, "a", "z.jpg"), row(0, "a", "c.jpg"), row(0, "a", "k.jpg"), row(1, "b")]
    features = load(space_with(tmp_path, rows))
    assert len(features.y) == 2
    assert features.duplicates == 2
    assert sorted(features.paths) == ["1.jpg", "c.jpg"]


def test_the_same_bytes_under_two_labels_are_left_out(tmp_path):
    rows = [row(0, "a"), row(1, "b"), row(2, "a"), row(2, "b", "other.jpg")]
    features = load(space_with(tmp_path, rows))
    assert len(features.conflicts) == 1
    assert features.duplicates == 0
    assert DIGESTS[2].tobytes() not in {digest.tobytes() for digest in features.digests}


def test_the_same_bytes_under_two_labels_are_found_across_datasets(tmp_path):
    space_with(tmp_path, [row(0, "a"), row(1, "b"), row(2, "a")], name="one")
    space = space_with(tmp_path, [row(2, "b")], held=(), name="two")
    assert len(load(space).conflicts) == 1
    assert len(load(space, ["one"]).conflicts) == 0


def test_what_has_no_label_or_no_features_is_counted(tmp_path):
    rejected = Row("broken.jpg", "a", b"", "rejected", "the file is empty")
    rows = [row(0, "a"), row(1, "b"), row(2, None), row(3, "a"), rejected]
    features = load(space_with(tmp_path, rows, DIGESTS[:3]))
    assert (features.unlabelled, features.missing, len(features.rejected)) == (1, 1, 1)
    assert len(features) == 3
    assert len(features.labelled()) == 2


def test_an_image_with_a_label_somewhere_has_it(tmp_path):
    features = load(space_with(tmp_path, [row(0, None, "x.jpg"), row(0, "a"), row(1, "b")]))
    assert features.unlabelled == 0
    assert sorted(features.paths) == ["0.jpg", "1.jpg"]


def test_no_labels_one_class_and_unknown_datasets_are_one_line(tmp_path):
    with pytest.raises(Failure, match="2 have no label"):
        load(space_with(tmp_path / "none", [row(0, None), row(1, None)])).labelled()
    one = space_with(tmp_path / "one", [row(0, "a"), row(1, "a")])
    with pytest.raises(Failure, match="all 2 images are a"):
        load(one).labelled()
    with pytest.raises(UsageFailure, match="no dataset birds; there are: photos"):
        load(one, ["birds"])


def test_labels_of_any_text(tmp_path):
    labels = ["\udcff<b>", "é\n"]
    features = load(space_with(tmp_path, [row(0, labels[0]), row(1, labels[1])]))
    assert set(features.classes) == set(labels)


def test_labels_that_are_all_whole_numbers_are_in_numeric_order(tmp_path):
    assert load(
        space_with(tmp_path / "one", [row(n, label) for n, label in enumerate(["10", "9", "-1"])])
    ).classes == ("-1", "9", "10")
    assert load(
        space_with(tmp_path / "two", [row(n, label) for n, label in enumerate(["10", "9", "x"])])
    ).classes == ("10", "9", "x")


def test_a_conflict_names_labels_datasets_and_paths(tmp_path):
    space_with(tmp_path, [row(0, "a"), row(1, "b")], name="/x/one")
    space = space_with(tmp_path, [row(0, "dog", "z.jpg"), row(1, "dog")], held=(), name="/x/two")
    features = load(space)
    assert sorted(c.samples for c in features.conflicts) == [
        (("/x/one", "0.jpg", "a"), ("/x/two", "z.jpg", "dog")),
        (("/x/one", "1.jpg", "b"), ("/x/two", "1.jpg", "dog")),
    ]
    with pytest.raises(Failure, match=r"a in /x/one and dog in /x/two; b in /x/one and dog"):
        features.labelled()


def test_a_dataset_is_taken_as_it_was_typed(tmp_path, monkeypatch):
    rows = [row(0, "a"), row(1, "b")]
    space_with(tmp_path / "c", rows, name=str(tmp_path / "pets"))
    space = space_with(tmp_path / "c", [row(2, "a")], held=(), name="/else/birds.zip")
    monkeypatch.chdir(tmp_path)
    for typed in ("pets", "./pets/", str(tmp_path / "pets")):
        assert load(space, [typed]).datasets == (str(tmp_path / "pets"),)
    assert load(space, ["birds.zip"]).datasets == ("/else/birds.zip",)
    assert len(load(space, ["pets", "./pets"])) == 2


def test_two_datasets_of_one_last_name_are_not_guessed_between(tmp_path):
    space_with(tmp_path, [row(0, "a")], name="/one/pets")
    space = space_with(tmp_path, [row(1, "b")], held=(), name="/two/pets")
    with pytest.raises(UsageFailure, match="2 datasets are called pets; there are: /one/pets, /tw"):
        load(space, ["pets"])


def test_features_are_read_in_the_order_of_the_digests(tmp_path):
    features = load(space_with(tmp_path, [row(n, "ab"[n % 2]) for n in range(8)]))
    vectors_of = {d.tobytes(): f for d, f in zip(DIGESTS, FEATURES, strict=True)}
    expected = np.array([vectors_of[digest.tobytes()] for digest in features.digests])
    np.testing.assert_array_equal(features.X, expected)
    assert features.X is features.X
    seen = {}
    for positions, block in features.blocks(3):
        assert len(positions) <= 3
        seen.update(zip(positions.tolist(), block.copy(), strict=True))
    np.testing.assert_array_equal([seen[n] for n in range(8)], expected)


def test_images_without_a_label_have_features_too(tmp_path):
    features = load(space_with(tmp_path, [row(0, "a"), row(1, "b"), row(2, None)]))
    assert features.X.shape == (3, 4)
    assert sorted(features.y) == [-1, 0, 1]
    assert features.unlabelled == 1
    assert features.labelled().X.shape == (2, 4)


def test_rejected_samples_are_there_with_their_reasons(tmp_path):
    rejected = Row("broken.jpg", "a", b"", "rejected", "the file is empty")
    features = load(space_with(tmp_path, [row(0, "a"), rejected]))
    assert features.rejected == (("broken.jpg", "the file is empty"),)


def test_a_head_is_fitted_from_features_alone(tmp_path):
    features = open_features(labelled_cache(tmp_path, {"cat": 60, "dog": 60}))
    fit = features.fit_head(seed=1)
    assert fit.test.accuracy > 0.8
    assert fit.head.classes == ("cat", "dog")
    assert len(fit.test.labels) == 18


def test_an_image_on_several_sides_of_the_source_counts_on_the_first(tmp_path):
    sides = ["train", "test", "validation", None]
    rows = [replace(row(n, "ab"[n % 2]), split=sides[n % 4]) for n in range(8)]
    rows += [replace(row(0, "a", "again.jpg"), split="test")]
    rows += [replace(row(1, "b", "again 1.jpg"), split="validation")]
    rows += [replace(row(4, "a", "again 4.jpg"), split="train")]
    features = load(space_with(tmp_path, rows))
    assert features.on_several_sides == 2
    by_path = dict(zip(features.paths, features.own_sides.tolist(), strict=True))
    assert by_path == {
        "0.jpg": 0,
        "1.jpg": 1,
        "2.jpg": 1,
        "3.jpg": -1,
        "4.jpg": 0,
        "5.jpg": 2,
        "6.jpg": 1,
        "7.jpg": -1,
    }


def test_what_is_left_out_is_said_without_zeros_and_with_one_advice(tmp_path):
    def message(space):
        with pytest.raises(Failure) as caught:
            load(space).labelled()
        return str(caught.value)

    assert message(space_with(tmp_path / "none", [row(0, None), row(1, None)])) == (
        "no image to train on: 2 have no label; extract a source with a folder for each class, "
        "or a CSV with path,label"
    )
    space_with(tmp_path / "two", [row(0, "cat"), row(1, "cat")], name="/x/one")
    two = space_with(tmp_path / "two", [row(0, "a"), row(1, "a")], held=(), name="/x/two")
    assert message(two) == (
        "no image to train on: 2 have several labels, cat in /x/one and a in /x/two; choose one "
        "of the datasets, such as /x/one, or forget one"
    )
    of_one = space_with(tmp_path / "one", [row(0, "cat"), row(0, "dog", "x.jpg")])
    assert message(of_one).endswith("; give each image one label, and extract again")
    space = space_with(tmp_path / "class", [row(0, "a"), row(1, "a")])
    assert message(space) == (
        "all 2 images are a; a head tells classes apart, so extract at least one more class"
    )
    space = space_with(tmp_path / "lost", [row(7, "a"), row(6, "b"), row(0, None)], DIGESTS[:1])
    assert message(space) == (
        "no image to train on: 1 has no label, 2 have lost their features; run the extraction again"
    )
