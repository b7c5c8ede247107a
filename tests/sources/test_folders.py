"""engine.sources.folders and split_names: splits and classes by folders' names."""

import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st

from cache.failures import Failure
from engine.sources import folder_tree
from engine.sources.folders import read_folders
from engine.sources.split_names import is_filler, side_of, side_of_file


@pytest.mark.parametrize(
    ("name", "side"),
    [
        *(
            ("train", "train"),
            ("Training", "train"),
            ("training_set", "train"),
            ("trainset", "train"),
        ),
        *(("train_images", "train"), ("TrainImages", "train"), ("seg_train", "train")),
        *(("val", "validation"), ("valid", "validation"), ("dev", "validation")),
        *(("test", "test"), ("test1", "test"), ("Testing", "test"), ("test-images", "test")),
        *(("seg_pred", "unlabelled"), ("single_prediction", "unlabelled")),
        *(("train_station", None), ("trainer", None), ("contest", None), ("cat", None)),
        *(("train_test", None), ("images", None), ("", None), ("2017", None), ("évaluation", None)),
    ],
)
def test_names_that_speak_of_splits(name, side):
    assert side_of(name) == side


def test_names_of_files_may_say_more():
    assert side_of_file("train-00000-of-00002-abcdef.parquet") == "train"
    assert side_of_file("pets_val_003.tar") == "validation"
    assert side_of_file("shard-000.tar") is None
    assert side_of_file("train_or_test.tar") is None
    assert is_filler("images")
    assert not is_filler("cats")


@pytest.mark.parametrize(
    "names",
    [
        ["train", "test", "bus"],  # two splits without classes, beside a class
        ["train/cat", "train/dog", "bus"],  # one split with classes
        ["train/cat", "test/cat", "masks/cat"],  # a neighbour with classes of its own
        ["train/a", "train/b", "test/c", "test/d", "other"],  # splits without common classes
        ["train/left", "train/right", "bus/left", "bus/right"],
    ],
)
def test_what_cannot_be_decided_is_an_error_with_both_readings(names):
    with pytest.raises(Failure, match=r"may be splits .* are the classes; choose by splits"):
        read_folders(names)
    assert read_folders(names, "none").guesses == ()
    assert any(split for _, split in read_folders(names, "folders").places.values())


def test_classes_need_not_be_in_each_split():
    reading = read_folders(["train/cat", "train/dog", "train/cow", "test/cat"])
    assert reading.places == {
        "train/cat": ("cat", "train"),
        "train/dog": ("dog", "train"),
        "train/cow": ("cow", "train"),
        "test/cat": ("cat", "test"),
    }


def test_one_split_is_none():
    assert read_folders(["train/cat", "train/dog"]).places == {
        "train/cat": ("cat", None),
        "train/dog": ("dog", None),
    }


def test_a_folder_that_says_nothing_lies_between():
    reading = read_folders(["train/images/cat", "train/images/dog", "test/images/cat"])
    assert reading.places["train/images/dog"] == ("dog", "train")
    assert reading.places["test/images/cat"] == ("cat", "test")


def test_copies_as_deep_as_a_path_can_be():
    places = {}
    prefix = "x"
    for _ in range(2000):
        places |= {f"{prefix}/train/cat": ("cat", "train"), f"{prefix}/test/cat": ("cat", "test")}
        prefix += "/x"
    assert read_folders(list(places)).places == places
    deep = "/".join(["train"] * 30_000)
    assert read_folders([deep]).places == {deep: (None, None)}


def test_folders_are_bounded(monkeypatch):
    monkeypatch.setattr(folder_tree, "MAX_FOLDERS", 5)
    with pytest.raises(Failure, match="over 5 folders"):
        read_folders(["a/b/c", "d/e/f"])


names = st.lists(
    st.lists(
        st.sampled_from(["train", "test", "val", "cat", "dog", "images", "pred", ".", "..", ""]),
        max_size=5,
    ).map("/".join),
    max_size=8,
)


@FUZZ
@given(names, st.sampled_from(["auto", "folders", "none"]))
def test_any_folders_are_read_or_undecided(paths, splits):
    try:
        places = read_folders(paths, splits).places
    except Failure:
        assert splits == "auto"
        return
    assert places.keys() == set(paths)
    for path, (label, split) in places.items():
        assert label is None or label in path.split("/")
        assert split is None or splits != "none"


def test_names_that_differ_in_a_split_are_splits_of_the_same_classes_only():
    same = read_folders(["x_train/a", "x_train/b", "x_test/a", "x_test/b"])
    assert same.places["x_train/a"] == ("a", "train")
    with pytest.raises(Failure, match="x_test, x_train may be splits"):
        read_folders(["x_train", "x_test"])
    with pytest.raises(Failure, match="may be splits"):
        read_folders(["x_train/a", "x_train/b", "x_test/c", "x_test/d"])
    unlabelled = read_folders(["x_train/x_train/a", "x_train/x_train/b", "x_test/x_test"])
    assert unlabelled.places["x_train/x_train/a"] == ("a", "train")
    assert unlabelled.places["x_test/x_test"] == (None, "test")
    assert read_folders(["x_train", "x_test"], "folders").places["x_test"] == (None, "test")
    assert read_folders(["test_cat", "test_dog"]).places["test_cat"] == ("test_cat", None)
