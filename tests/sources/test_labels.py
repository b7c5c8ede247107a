"""engine.sources.labels: labels in one form, and what is said of odd ones."""

import pytest

from cache.failures import UsageFailure
from engine.sources.base import SourceOptions
from engine.sources.labels import label_pattern, spelling_remarks, suggestion, suspicions, tidy
from engine.sources.layout import listing


@pytest.mark.parametrize(
    ("label", "form"),
    [("cat", "cat"), (" cat\t", "cat"), ("Cafe\u0301", "Café"), ("  ", None), ("", None)],
)
def test_one_form_of_each_label(label, form):
    assert tidy(label) == form


def test_what_is_joined_and_what_is_only_alike():
    assert spelling_remarks(["cat", "dog"]) == suspicions(["cat", "dog"]) == []
    (line,) = spelling_remarks(["cat ", "cat", "dog"])
    assert line.startswith("'cat', 'cat ' are one class")
    (line,) = suspicions(["Cat", "cat", "ﬁsh", "bird"])
    assert line.startswith("'Cat', 'cat' are separate classes")


@pytest.mark.parametrize("text", ["(cat|dog", r"cat|dog", "(cat)(dog)", "(?P<a>x)(y)"])
def test_a_pattern_that_is_none_is_said(text):
    with pytest.raises(UsageFailure) as raised:
        label_pattern(text)
    assert "\n" not in str(raised.value)


def test_a_pattern_that_matches_nothing_is_said():
    with pytest.raises(UsageFailure, match=r"none of the 2 paths matches \(x\); the first is a"):
        listing(["a", "b"], SourceOptions(labels="(x)"))


def test_labels_of_a_column_where_there_is_none():
    with pytest.raises(UsageFailure, match="no table"):
        listing(["a/1.jpg"], SourceOptions(labels="column"))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg"], "(cat|dog)[^/]*$"),
        (["x/red apple (1).png", "x/red apple (2).png", "y/pear 1.png", "y/pear 2.png"], "pear"),
        (["IMG_0001.jpg", "IMG_0002.jpg", "IMG_0003.jpg"], ""),
        (["a.jpg", "b.jpg"], ""),
        (["cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg", "x.jpg", "y.jpg"], ""),
        ([], ""),
    ],
)
def test_names_with_labels_in_them_are_seen(names, words):
    line = suggestion(names)
    assert (words in line) if words else line == ""


def test_many_classes_for_few_images_are_warned_of():
    names = [f"{n}/x.jpg" for n in range(50)]
    assert "50 classes for 50 images" in listing(names, SourceOptions()).warnings[0]
