"""What people give as images."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from engine.estimators.inputs import items_of

PIXELS = np.zeros((2, 4, 5, 3), np.uint8)


@pytest.mark.parametrize(
    "images",
    [
        ["a.jpg", "b.jpg"],
        ("a.jpg", "b.jpg"),
        iter(["a.jpg", "b.jpg"]),
        np.array(["a.jpg", "b.jpg"]),
        np.array(["a.jpg", "b.jpg"], object),
        np.array([["a.jpg"], ["b.jpg"]], object),
        pd.Series(["a.jpg", "b.jpg"], index=[7, 3]),
        pd.DataFrame({"path": ["a.jpg", "b.jpg"]}),
    ],
)
def test_paths_of_any_kind_are_a_list_of_str(images):
    items = items_of(images)
    assert items == ["a.jpg", "b.jpg"]
    assert {type(item) for item in items} == {str}


def test_other_items_are_as_they_are():
    items = [Path("a.jpg"), b"bytes", Image.new("L", (3, 3)), PIXELS[0]]
    assert all(one is other for one, other in zip(items_of(items), items, strict=True))
    assert [item.shape for item in items_of(PIXELS)] == [(4, 5, 3)] * 2


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ("a.jpg", TypeError, "one str is no list of images; put it in a list; .*for extract"),
        (5000 * "a", TypeError, "one str is no list of images"),
        (Path(__file__).parent, TypeError, "is a folder, no .*; list its files; .*for extract"),
        (b"bytes", TypeError, "one bytes is no list"),
        (Image.new("L", (3, 3)), TypeError, "one Image is no list"),
        (PIXELS[0], ValueError, "one array of pixels; put it in a list"),
        (PIXELS.astype(np.float32), ValueError, "float32 .* give paths"),
        ([PIXELS[0].astype(np.float32)], ValueError, "float32 .* is not uint8"),
        ([PIXELS[0, :, :, :2]], ValueError, r"\(4, 5, 2\) is not uint8"),
        (np.array([["a", "b"]]), ValueError, "give paths"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), ValueError, "give paths"),
        ([3], TypeError, "int is no image; give paths"),
        (3, TypeError, "int is no list of paths"),
    ],
)
def test_what_is_no_list_of_images_says_so(images, error, message):
    with pytest.raises(error, match=message):
        items_of(images)
