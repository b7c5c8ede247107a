"""engine.images.metadata: what stands before a JPEG's pixels."""

import io
import struct

import numpy as np
import pytest
from encoded_samples import jpeg_segment
from PIL import Image

from engine.images.decode import Rejected, decode

SIZE = (20, 30)
EMPTY_COMMENT = jpeg_segment(0xFE)


def jpeg(orientation=1, **options):
    yy, xx = np.mgrid[0:64, 0:96]
    pixels = np.stack([2 * xx, 3 * yy, xx + yy], -1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", exif=exif, **options)
    return file.getvalue()


def pixels_of(data):
    return decode(data, SIZE, "bilinear")


def reason(data):
    with pytest.raises(Rejected) as rejected:
        pixels_of(data)
    return rejected.value.reason


def sized(data, height, width):
    """Return a JPEG that claims another size."""
    marker = b"\xff\xc2" if b"\xff\xc2" in data else b"\xff\xc0"
    at = data.index(marker) + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


@pytest.mark.parametrize("between", [b"\xff", b"\xff" * 1000, b"\0\0junk", b"\xff\xd3", b"\xff\0"])
def test_fill_bytes_and_junk_between_segments_change_nothing(between):
    data = jpeg(orientation=6, progressive=True)
    assert np.array_equal(pixels_of(data[:20] + between + data[20:]), pixels_of(data))


def test_a_fill_byte_may_be_the_first_of_all():
    data = jpeg(orientation=6)
    assert np.array_equal(pixels_of(data[:2] + b"\xff" + data[2:]), pixels_of(data))


@pytest.mark.parametrize("between", [b"", b"\xff", b"\0\0junk"])
def test_scans_are_counted_behind_whatever_comes_before_them(between):
    data = jpeg(progressive=True)
    start = data.rindex(b"\xff\xda")
    many = sized(data[:start] + data[start:-2] * 900 + data[-2:], 4000, 4000)
    assert "scans" in reason(many[:20] + between + many[20:])


def test_bytes_behind_the_picture_are_no_scans():
    """A telephone's film behind its photograph."""
    data = sized(jpeg(progressive=True), 2000, 2000)
    assert np.array_equal(pixels_of(data + b"\xff\xda" * 10_000), pixels_of(data))


def test_fill_bytes_without_number_end_a_file():
    data = jpeg(progressive=True)
    last = data.rindex(b"\xff\xda")
    for number, end in ((60_000, ""), (70_000, "damaged JPEG")):
        for at in (20, last):
            padded = data[:at] + b"\xff" * number + data[at:]
            assert reason(padded).startswith(end) if end else pixels_of(padded) is not None
    assert np.array_equal(pixels_of(data + b"\xff" * 70_000), pixels_of(data))


def test_segments_without_number_are_rejected():
    data = jpeg(progressive=True)
    assert reason(data[:2] + EMPTY_COMMENT * 5000 + data[2:]) == "more than 4,096 segments"
    last = data.rindex(b"\xff\xda")
    assert reason(data[:last] + EMPTY_COMMENT * 5000 + data[last:]) == "more than 4,096 segments"
    pixels_of(data[:2] + EMPTY_COMMENT * 4000 + data[2:])


@pytest.mark.parametrize("options", [{"progressive": True}, {"progressive": True, "quality": 100}])
def test_a_small_file_may_not_ask_for_much_memory(options):
    """All coefficients of a progressive file stay in memory, whatever the scale."""
    data = sized(jpeg(subsampling="4:4:4", **options), 16000, 16000)
    assert "would take 1.5 GiB to decode" in reason(data)


def test_a_large_file_of_one_pass_takes_little():
    assert "GiB" not in reason(sized(jpeg(subsampling="4:4:4"), 16000, 16000)[:600])


@pytest.mark.parametrize("cut", [3, 8, 200])
def test_a_file_that_ends_before_its_pixels_is_rejected(cut):
    assert reason(jpeg()[:cut]).startswith("damaged JPEG: ")
