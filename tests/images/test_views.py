"""Views of an image: itself, its mirror image, and crops that hang on its bytes alone."""

import io

import numpy as np
import pytest
from PIL import Image

from engine.images.decode import Rejected, decode
from engine.images.framing import Framing
from engine.images.views import decode_views

SIZE = (20, 24)


@pytest.fixture
def data():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_the_first_is_the_image_and_the_second_its_mirror_image(data):
    image = decode(data, SIZE, "bilinear")
    for count in (1, 2, 6):
        views = decode_views(data, SIZE, Framing(), count).pixels
        assert views.shape == (count, *SIZE, 3)
        np.testing.assert_array_equal(views[0], image)
        if count > 1:
            np.testing.assert_array_equal(views[1], image[:, ::-1])


def test_crops_are_parts_of_a_larger_image_and_the_same_for_the_same_bytes(data):
    views = decode_views(data, SIZE, Framing(), 6).pixels
    np.testing.assert_array_equal(views, decode_views(data, SIZE, Framing(), 6).pixels)
    larger = decode(data, (round(20 * 8 / 7), round(24 * 8 / 7)), "bilinear")
    windows = np.lib.stride_tricks.sliding_window_view(larger, (*SIZE, 3)).reshape(-1, *SIZE, 3)
    for crop in views[2:]:
        assert (windows == crop).all(axis=(1, 2, 3)).any()


def test_what_is_no_image_has_no_views():
    with pytest.raises(Rejected, match="the file is empty"):
        decode_views(b"", SIZE, Framing(), 6)
