"""engine.images.tiff: the tags of a TIFF that its pixels hang on."""

import io
import logging
import struct

import numpy as np
import pytest
from encoded_samples import tiff
from PIL import Image

from engine.images import limits
from engine.images.decode import Rejected, decode

SHORT, LONG = 3, 4


def pixels_of(data, size=(1, 2)):
    return decode(data, size, "nearest").tolist()


def reason(data):
    with pytest.raises(Rejected) as rejected:
        decode(data, (5, 5), "bilinear")
    return rejected.value.reason


def grey(*levels):
    return [[[level] * 3 for level in levels]]


@pytest.mark.parametrize(("photometric", "wanted"), [(0, grey(255, 0x7F)), (1, grey(0, 0x80))])
def test_sixteen_bits_of_which_zero_is_white(photometric, wanted):
    tags = {258: (SHORT, [16]), 262: (SHORT, [photometric])}
    assert pixels_of(tiff(2, 1, struct.pack("<HH", 0x12, 0x8034), tags)) == wanted


def test_packed_sixteen_bits_of_which_zero_is_white():
    ramp = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    pixels = []
    for photometric in (0, 1):
        file = io.BytesIO()
        Image.fromarray(ramp).save(
            file, "TIFF", compression="tiff_lzw", tiffinfo={262: photometric}
        )
        pixels.append(decode(file.getvalue(), (20, 30), "nearest"))
    assert np.array_equal(pixels[0], 255 - pixels[1])


def test_twelve_bits_are_of_4095_and_not_of_65535():
    assert pixels_of(tiff(2, 1, b"\xff\xf8\x00", {258: (SHORT, [12])})) == grey(255, 128)


FOUR_BANDS = {258: (SHORT, [8] * 4), 262: (SHORT, [2]), 277: (SHORT, [4])}
COLOURS = bytes([10, 20, 30, 0, 200, 100, 50, 255])


@pytest.mark.parametrize("extra", [None, 0, 999])
def test_a_fourth_band_that_is_no_alpha_is_left_out(extra):
    tags = FOUR_BANDS if extra is None else FOUR_BANDS | {338: (SHORT, [extra])}
    assert pixels_of(tiff(2, 1, COLOURS, tags)) == [[[10, 20, 30], [200, 100, 50]]]


def test_a_fourth_band_of_sixteen_bits_that_is_no_alpha_is_left_out():
    wide = np.frombuffer(COLOURS, np.uint8).astype("<u2") * 256
    data = tiff(2, 1, wide.tobytes(), FOUR_BANDS | {258: (SHORT, [16] * 4)})
    assert pixels_of(data) == [[[10, 20, 30], [200, 100, 50]]]


@pytest.mark.parametrize("extra", [1, 2])
def test_a_fourth_band_that_is_alpha_is_over_white(extra):
    data = tiff(2, 1, COLOURS, FOUR_BANDS | {338: (SHORT, [extra])})
    assert pixels_of(data) == [[[255, 255, 255], [200, 100, 50]]]


def test_many_bands_are_rejected_without_a_word_elsewhere(caplog):
    with caplog.at_level(logging.DEBUG - 1):
        logging.getLogger("PIL").setLevel(logging.WARNING)
        tags = {258: (SHORT, [8] * 7), 277: (SHORT, [7])}
        assert "7 bands" in reason(tiff(2, 1, bytes(14), tags))
    assert not caplog.records


@pytest.mark.filterwarnings("error")
def test_damaged_tags_that_pixels_do_not_need_are_no_matter():
    tags = {700: (1, [1, 2, 3]), 34665: (LONG, [2**31]), 34853: (LONG, [9]), 282: (SHORT, [0] * 9)}
    data = bytearray(tiff(2, 1, b"\x10\x80", tags | {306: (1, [1] * 9)}))
    at = data.index(struct.pack("<HHL", 306, 1, 9))
    data[at + 4 : at + 12] = b"\xff" * 8  # a date of four gigabytes
    assert pixels_of(bytes(data)) == grey(0x10, 0x80)


@pytest.mark.parametrize("value", range(1, 9))
def test_orientation_in_either_byte_order(value):
    ramp = bytes(range(0, 240, 10))
    for order in "<>":
        data = tiff(6, 4, ramp, {274: (SHORT, [value])}, order)
        upright = Image.frombytes("L", (6, 4), ramp)
        exif = upright.getexif()
        exif[274] = value
        turned = np.asarray(upright_of(upright, value))
        assert np.array_equal(decode(data, turned.shape, "nearest")[..., 0], turned)


def upright_of(image, value):
    method = [None, 0, 3, 1, 5, 4, 6, 2][value - 1]
    return image if method is None else image.transpose(Image.Transpose(method))


def test_big_tiff():
    file = io.BytesIO()
    image = Image.linear_gradient("L").convert("RGB")
    image.save(file, "TIFF", big_tiff=True, compression="tiff_lzw")
    assert np.array_equal(decode(file.getvalue(), (256, 256), "nearest"), np.asarray(image))


@pytest.mark.parametrize("tag", [258, 273, 320, 532])
def test_values_without_number_are_rejected(tag):
    """Pillow makes a Python object of each."""
    many = {tag: (SHORT, [1] * (limits.MAX_TAG_VALUES + 1))}
    assert "values of a tag" in reason(tiff(2, 1, bytes(2), many))


def test_tags_without_number_are_rejected():
    many = {1000 + number: (SHORT, [1]) for number in range(limits.MAX_TAGS)}
    assert reason(tiff(2, 1, bytes(2), many)) == "more than 4,096 tags"


def test_tags_may_not_share_their_values():
    """2 MB of values in each of thousands of tags made Pillow 11.0 take 10 GB."""
    data = bytearray(tiff(2, 1, bytes(9000), {tag: (1, [1] * 9000) for tag in (347, 512, 513)}))
    first = data.index(struct.pack("<HHL", 347, 1, 9000))
    assert pixels_of(bytes(data)) == grey(0, 0)
    for entry in (first + 12, first + 24):
        data[entry + 8 : entry + 12] = data[first + 8 : first + 12]
    del data[-18_000:]
    assert reason(bytes(data)) == "tags that share their values"


def test_a_tile_much_larger_than_its_image_is_rejected():
    tags = {322: (LONG, [40_000]), 323: (LONG, [40_000]), 324: (LONG, [8]), 325: (LONG, [2])}
    assert "GiB" in reason(tiff(2, 1, bytes(2), tags | {259: (SHORT, [5])}))
