"""engine.images.chunks: PNG and GIF files before Pillow sees them."""

import io
import struct
import zlib

import numpy as np
import pytest
from encoded_samples import png, png_chunk
from PIL import Image

from engine.images import limits
from engine.images.decode import Rejected, decode

ROW = b"\0\x10\x80"


def pixels_of(data):
    return decode(data, (1, 2), "nearest")[..., 0].tolist()


def reason(data):
    with pytest.raises(Rejected) as rejected:
        pixels_of(data)
    return rejected.value.reason


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"zTXt", b"key\0\0" + zlib.compress(bytes(2**24))),  # a text of 16 MB
        (b"iCCP", b"name\0\0" + zlib.compress(bytes(2**24))),
        (b"acTL", b"\0" * 8),
        (b"tEXt", b""),
        (b"quBx", b"private"),
        (b"pHYs", b"short"),
    ],
)
def test_chunks_that_pixels_do_not_need_are_no_matter(kind, body):
    assert pixels_of(png(2, 1, 8, 0, ROW, png_chunk(kind, body))) == [[0x10, 0x80]]


def test_chunks_without_number_are_rejected():
    empty = png_chunk(b"tEXt", b"")
    assert pixels_of(png(2, 1, 8, 0, ROW, empty * 100_000)) == [[0x10, 0x80]]
    assert reason(png(2, 1, 8, 0, ROW, empty * 140_000)) == "more than 131,072 chunks"
    pieces = b"".join(png_chunk(b"IDAT", b"") for _ in range(140_000))
    assert reason(png(2, 1, 8, 0, ROW, pieces)) == "more than 131,072 chunks"


def gif(extension):
    file = io.BytesIO()
    Image.fromarray(np.array([[0x10, 0x80]], np.uint8)).save(file, "GIF")
    data = file.getvalue()
    at = data.index(b",\0\0\0\0")
    return data[:at] + extension + data[at:]


@pytest.mark.parametrize("code", [b"!\xfe", b"!\xff", b"!\x01"])
def test_blocks_without_number_are_rejected(code):
    piece = b"\x01x"
    assert pixels_of(gif(code + piece * 1000 + b"\0")) == [[0x10, 0x80]]
    assert reason(gif(code + piece * 140_000 + b"\0")) == "more than 131,072 blocks"
    assert reason(gif((code + b"\0") * 140_000)) == "more than 131,072 blocks"


@pytest.mark.filterwarnings("error")
def test_a_frame_larger_than_its_screen_counts():
    data = bytearray(gif(b""))
    at = data.index(b",\0\0\0\0")
    data[at + 5 : at + 9] = struct.pack("<HH", 60_000, 60_000)
    assert reason(bytes(data)) == "too many pixels (60000 x 60000)"
    assert limits.MAX_PIXELS < 60_000**2
