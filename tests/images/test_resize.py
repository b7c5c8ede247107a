"""engine.images.resize: Pillow's filters, the same pixels on every CPU."""

from concurrent.futures import ThreadPoolExecutor

import cykooz_resizer
import numpy as np
import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.images import resize as resize_module
from engine.images.formats import INTERPOLATIONS
from engine.images.resize import resize

MODES = ("L", "RGB", "RGBa")
SIDES = st.integers(1, 90)


def noise(width, height, mode):
    channels = {"L": 1, "RGB": 3, "RGBa": 4}[mode]
    pixels = np.random.default_rng(0).integers(0, 256, height * width * channels, np.uint8)
    return Image.frombytes(mode, (width, height), pixels.tobytes())


def pillows(image, size, resampling=Image.Resampling.BILINEAR):
    return np.asarray(image.resize(size[::-1], resampling))


def assert_close(pixels, wanted):
    """Both round twice, so that one value in many thousands is two levels apart."""
    assert pixels.dtype == np.uint8
    assert pixels.shape == wanted.shape
    apart = np.abs(pixels.astype(int) - wanted)
    assert apart.max() <= 2
    assert (apart == 2).sum() <= 2 + apart.size / 1000


@FUZZ
@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(MODES))
def test_bilinear_is_pillows_but_for_rounding(width, height, new_width, new_height, mode):
    image = noise(width, height, mode)
    size = (new_height, new_width)
    assert_close(resize(image, size, "bilinear"), pillows(image, size))


@pytest.mark.parametrize("size", [(375, 500), (224, 224), (1, 1)])
@pytest.mark.parametrize("mode", MODES)
def test_bilinear_of_a_photographs_size(mode, size):
    image = noise(500, 375, mode)
    assert_close(resize(image, size, "bilinear"), pillows(image, size))


@pytest.mark.parametrize("mode", MODES)
def test_bilinear_of_several_blocks_of_memory(mode):
    """Pillow keeps a large image in blocks of 16 MB."""
    image = noise(4801, 4003, mode)
    assert_close(resize(image, (97, 131), "bilinear"), pillows(image, (97, 131)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("interpolation", ["nearest", "bicubic", "lanczos"])
def test_the_others_are_pillows(mode, interpolation):
    image = noise(61, 47, mode)
    for size in [(24, 32), (90, 80)]:
        wanted = pillows(image, size, Image.Resampling[interpolation.upper()])
        assert np.array_equal(resize(image, size, interpolation), wanted)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("mode", MODES)
def test_the_image_is_left_as_it_was(mode, interpolation):
    image = noise(40, 30, mode)
    before = image.tobytes()
    for size in [(30, 40), (7, 9)]:
        pixels = resize(image, size, interpolation)
    assert image.tobytes() == before
    assert image.mode == mode
    assert not np.shares_memory(pixels, np.asarray(image))


@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_cpu_gives_the_same_pixels(monkeypatch, mode):
    """What this CPU would take of itself, and each smaller set of instructions that it has."""
    image = noise(501, 373, mode)
    wanted = resize(image, (224, 224), "bilinear")
    best = cykooz_resizer.Resizer().cpu_extensions
    kinds = {
        cykooz_resizer.CpuExtensions.avx2: ["none", "sse4_1", "avx2"],
        cykooz_resizer.CpuExtensions.sse4_1: ["none", "sse4_1"],
        cykooz_resizer.CpuExtensions.neon: ["none", "neon"],
    }.get(best, ["none"])
    for kind in kinds:
        resizer = cykooz_resizer.Resizer()
        resizer.cpu_extensions = cykooz_resizer.CpuExtensions[kind]
        monkeypatch.setattr(resize_module, "Resizer", lambda resizer=resizer: resizer)
        assert np.array_equal(resize(image, (224, 224), "bilinear"), wanted), kind


def test_threads_give_the_same_pixels():
    images = [noise(200 + n, 150, "RGB") for n in range(32)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: resize(image, (32, 24), "bilinear"), images))
    for pixels, image in zip(together, images, strict=True):
        assert np.array_equal(pixels, resize(image, (32, 24), "bilinear"))
