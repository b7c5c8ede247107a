"""engine.images.framing: a centre crop is torchvision's, at whatever scale a JPEG is decoded."""

import io

import numpy as np
import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cache.failures import UsageFailure
from engine.images.decode import decode
from engine.images.formats import INTERPOLATIONS
from engine.images.framing import Framing, resized
from engine.images.limits import Rejected
from engine.images.load import load_picture

SIDES = st.integers(8, 400)


def picture(width, height, mode="RGB"):
    """Return a picture with fine detail, no part of which looks like another."""
    yy, xx = np.mgrid[0:height, 0:width]
    waves = [127 + 120 * np.sin(xx / a + yy / b) for a, b in ((3, 7), (11, 2), (5, 5))]
    return Image.fromarray(np.stack(waves, -1).astype(np.uint8)).convert(mode)


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def torchvisions(image, size, interpolation="bilinear"):
    """`Resize(int(size / 0.875))` and `CenterCrop(size)` of torchvision, by Pillow alone."""
    width, height = image.size
    short = int(size / 0.875)
    if width <= height:
        scaled = (short, int(short * height / width))
    else:
        scaled = (int(short * width / height), short)
    image = image.resize(scaled, Image.Resampling[interpolation.upper()])
    top = round((scaled[1] - size) / 2.0)
    left = round((scaled[0] - size) / 2.0)
    return np.asarray(image.crop((left, top, left + size, top + size)))


def apart(pixels, wanted):
    assert pixels.shape == wanted.shape
    return np.abs(pixels.astype(int) - wanted)


@FUZZ
@given(SIDES, SIDES, st.sampled_from([7, 32, 33, 224]))
def test_a_centre_crop_is_torchvisions_but_for_rounding(width, height, size):
    image = picture(width, height)
    pixels = decode(encoded(image), (size, size), "bilinear", "center")
    difference = apart(pixels, torchvisions(image, size))
    assert difference.max() <= 2
    assert (difference == 2).mean() <= 0.002


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (250, 250), (500, 333)])
def test_by_each_interpolation(shape, interpolation):
    image = picture(*shape)
    pixels = decode(encoded(image), (224, 224), interpolation, "center")
    difference = apart(pixels, torchvisions(image, 224, interpolation))
    # Nearest may take the neighbour where a position lies between two pixels.
    assert (difference > 1).mean() <= 0.002
    assert interpolation == "nearest" or difference.max() <= 2


@pytest.mark.parametrize(
    ("picture", "whole"),
    [
        ((375, 500), (256, 341)),
        ((500, 375), (341, 256)),
        ((667, 1000), (256, 383)),
        ((256, 256), (256, 256)),
        ((10, 10), (256, 256)),
    ],
)
def test_the_short_side_becomes_256_for_224(picture, whole):
    assert resized(picture, (224, 224), "center") == whole
    assert resized(picture, (224, 224), "squash") == (224, 224)


@FUZZ
@given(SIDES, SIDES, st.integers(1, 90), st.integers(1, 90))
def test_a_size_that_is_no_square_is_covered(width, height, new_height, new_width):
    whole = resized((height, width), (new_height, new_width), "center")
    assert whole[0] >= new_height
    assert whole[1] >= new_width
    pixels = decode(encoded(picture(width, height)), (new_height, new_width), "bilinear", "center")
    assert pixels.shape == (new_height, new_width, 3)


@pytest.mark.parametrize("turned", [False, True])
def test_a_jpeg_is_decoded_with_twice_the_pixels_that_a_crop_needs(turned):
    """Its short side becomes 73 of 64: of 280 pixels half are enough for 64, and not for 73."""
    image = picture(280, 700) if turned else picture(700, 280)
    data = encoded(image, "JPEG", quality=95, subsampling=0)
    assert load_picture(data, "JPEG", (64, 64), "center").image.size == image.size
    assert max(load_picture(data, "JPEG", (64, 64), "squash").image.size) == 350
    with Image.open(io.BytesIO(data)) as same:
        wanted = torchvisions(same.convert("RGB"), 64)
    assert apart(decode(data, (64, 64), "bilinear", "center"), wanted).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_is_cut_when_it_is_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = picture(900, 500)
    data = encoded(turned, "JPEG", quality=95, subsampling=0, exif=exif)
    upright = {3: [Image.Transpose.ROTATE_180], 6: [Image.Transpose.ROTATE_270]}
    if orientation not in (1, *upright):
        assert decode(data, (40, 60), "bilinear", "center").shape == (40, 60, 3)
        return
    with Image.open(io.BytesIO(data)) as image:
        wanted = image.convert("RGB")
    for method in upright.get(orientation, []):
        wanted = wanted.transpose(method)
    pixels = decode(data, (100, 100), "bilinear", "center")
    assert apart(pixels, torchvisions(wanted, 100)).mean() < 1.5


def test_what_is_transparent_is_cut_too():
    image = picture(300, 200, "RGBA")
    image.putalpha(Image.linear_gradient("L").resize((300, 200)))
    white = Image.new("RGBA", image.size, "white")
    wanted = torchvisions(Image.alpha_composite(white, image).convert("RGB"), 64)
    pixels = decode(encoded(image), (64, 64), "bilinear", "center")
    assert apart(pixels, wanted).max() <= 3


def test_a_panorama_needs_no_memory_for_what_is_cut_off():
    """Resized whole, its short side of one pixel would make it 2 gigapixels."""
    data = encoded(Image.new("RGB", (30_000, 1), "teal"))
    pixels = decode(data, (224, 224), "bicubic", "center")
    assert (pixels == [0, 128, 128]).all()


@pytest.mark.parametrize("crop", ["squash", "center"])
def test_damage_is_a_reason_for_either(crop):
    with pytest.raises(Rejected):
        decode(encoded(picture(50, 50))[:200], (24, 24), "bilinear", crop)


def test_squash_is_no_part_of_a_space_and_center_is():
    assert Framing().identity == {"interpolation": "bilinear"}
    assert Framing("nearest", "center").identity == {"interpolation": "nearest", "crop": "center"}
    for framing in (Framing(), Framing("nearest", "center")):
        assert Framing.of({**framing.identity, "features": 3}) == framing


@pytest.mark.parametrize(("name", "value"), [("crop", "middle"), ("interpolation", "cubic")])
def test_what_there_is_not_is_told(name, value):
    with pytest.raises(UsageFailure, match=f"{name} {value}: choose from"):
        Framing(**{name: value})
