"""engine.images.load: HEIF, JPEG 2000, JPEG XL and PNM."""

import importlib.util
import io
import struct
import subprocess
import sys

import heif_samples
import numpy as np
import pytest
from encoded_samples import tiff
from PIL import Image, features

from engine.images import limits
from engine.images.decode import Rejected, decode, decode_with_remark
from engine.images.formats import FORMATS, has_image_name, image_format
from engine.images.framing import Framing

needs_jp2 = pytest.mark.skipif(
    "jpg_2000" not in features.get_supported(), reason="this build of Pillow has no JPEG 2000"
)
needs_heif = pytest.mark.skipif(not importlib.util.find_spec("pi_heif"), reason="no pi-heif")
needs_jxl = pytest.mark.skipif(not importlib.util.find_spec("pillow_jxl"), reason="no JPEG XL")


def pixels_of(data, size=(24, 32)):
    return decode(data, size, "nearest")


def reason(data):
    with pytest.raises(Rejected) as rejected:
        decode(data, (24, 32), "bilinear")
    return rejected.value.reason


def assert_close(data, wanted, most=40.0):
    gap = np.abs(pixels_of(data).astype(int) - wanted)
    assert gap.mean() < 6
    assert gap.max() < most


def over_white(pixels, alpha):
    part = alpha[..., None] / 255
    return pixels * part + 255 * (1 - part)


@needs_heif
def test_heif():
    assert_close(heif_samples.HEIF, heif_samples.gradient())
    grey = np.asarray(Image.fromarray(heif_samples.gradient()).convert("L"))
    assert_close(heif_samples.HEIF_GREY, grey[..., None].repeat(3, 2))
    wanted = over_white(heif_samples.gradient(), heif_samples.opacity())
    assert_close(heif_samples.HEIF_ALPHA, wanted, most=80)


@needs_jxl
def test_jpeg_xl():
    assert_close(heif_samples.JPEG_XL, heif_samples.gradient())
    assert_close(heif_samples.JPEG_XL_BOXES, heif_samples.gradient())
    assert_close(
        heif_samples.JPEG_XL_ALPHA, over_white(heif_samples.gradient(), heif_samples.opacity())
    )


@pytest.mark.parametrize(
    ("module", "data"), [("pi_heif", heif_samples.HEIF), ("pillow_jxl", heif_samples.JPEG_XL)]
)
def test_without_its_package_a_format_is_rejected_with_its_name(monkeypatch, module, data):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, f"{module}.JpegXLImagePlugin", None)
    assert "for which the package" in reason(data)


@needs_heif
def test_every_cut_of_a_heif_is_rejected():
    for cut in range(100, len(heif_samples.HEIF), 20):
        assert reason(heif_samples.HEIF[:cut])


def resized_heif(width, height):
    at = heif_samples.HEIF.index(b"ispe") + 8
    return heif_samples.HEIF[:at] + struct.pack(">LL", width, height) + heif_samples.HEIF[at + 8 :]


@needs_heif
@pytest.mark.parametrize("size", [(20_000, 20_000), (70_000, 10), (9500, 9500)])
def test_a_heif_of_too_many_pixels_is_rejected(size):
    assert reason(resized_heif(*size))


def jp2(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG2000", **options)
    return file.getvalue()


@needs_jp2
@pytest.mark.parametrize("options", [{}, {"no_jp2": True}, {"tile_size": (16, 16)}])
def test_jpeg_2000(options):
    pixels = heif_samples.gradient()
    assert np.array_equal(pixels_of(jp2(pixels, irreversible=False, **options)), pixels)


@needs_jp2
def test_sixteen_bits_of_jpeg_2000():
    ramp = (np.arange(768).reshape(24, 32) * 80).astype(np.uint16)
    assert np.array_equal(pixels_of(jp2(ramp))[..., 0], ramp >> 8)
    assert decode_with_remark(jp2(ramp // 20), (24, 32), Framing("nearest")).remark


def changed(data, offset, value):
    """Return a JPEG 2000 with bytes of its size marker or what follows replaced."""
    at = data.index(b"\xff\x4f\xff\x51") + 2 + offset
    return data[:at] + value + data[at + len(value) :]


@needs_jp2
@pytest.mark.parametrize(
    ("offset", "value", "why"),
    [
        (6, struct.pack(">LL", 9000, 9000), "GiB"),
        (6, struct.pack(">LL", 90_000, 9000), "too many pixels"),
        (22, struct.pack(">LL", 0, 9), "tiles"),
        (38, struct.pack(">H", 16_000), "bands"),
    ],
)
def test_a_jpeg_2000_may_not_ask_for_much(offset, value, why):
    assert why in reason(changed(jp2(heif_samples.gradient()), offset, value))


@needs_jp2
def test_jpeg_2000_of_many_tiles_layers_or_blocks_is_rejected():
    pixels = heif_samples.gradient()
    data = jp2(pixels)
    small = changed(data, 6, struct.pack(">LLLLLL", 4000, 4000, 0, 0, 8, 8))
    assert reason(small) == "more than 8,192 tiles"
    coding = data.index(b"\xff\x52")
    for at, value, why in [(6, b"\xff\xff", "layers"), (10, b"\0\0", "blocks")]:
        assert why in reason(data[: coding + at] + value + data[coding + at + len(value) :])
    style = data[coding + 5 : coding + 14]
    own = b"\xff\x52" + struct.pack(">H", 12 + 6) + b"\1" + style + b"\x44" * 6
    assert "precincts" in reason(data[:coding] + own + data[coding + 14 :])


def ppm(kind, width, height, greatest, body, comment=b""):
    middle = b"" if greatest is None else b"%d\n" % greatest
    return kind + b"\n" + comment + b"%d %d\n" % (width, height) + middle + body


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (ppm(b"P6", 2, 1, 255, bytes([1, 2, 3, 200, 100, 50])), [[1, 2, 3], [200, 100, 50]]),
        (ppm(b"P3", 2, 1, 255, b"1 2 3\n200 100 50 # end\n"), [[1, 2, 3], [200, 100, 50]]),
        (ppm(b"P5", 2, 1, 4095, struct.pack(">HH", 4095, 2048)), [[255] * 3, [128] * 3]),
        (ppm(b"P2", 2, 1, 15, b"15 1", b"# by hand\n"), [[255] * 3, [17] * 3]),
        (ppm(b"P5", 2, 1, 255, bytes([9, 99]), b"#" + b"x" * 40 + b"\n"), [[9] * 3, [99] * 3]),
        (ppm(b"P4", 2, 1, None, b"\x7f"), [[255] * 3, [0] * 3]),
        (ppm(b"P1", 2, 1, None, b"01"), [[255] * 3, [0] * 3]),
    ],
)
def test_pnm(data, wanted):
    assert pixels_of(data, (1, 2)).tolist() == [wanted]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (ppm(b"P6", 60_000, 60_000, 255, b""), "too many pixels"),
        (ppm(b"P3", 5000, 5000, 255, b"1 " * 99), "too many pixels"),
        (ppm(b"P6", 9, 9, 255, b"short"), "damaged PNM"),
        (ppm(b"P2", 2, 1, 255, b"1 x"), "damaged PNM"),
        (ppm(b"P2", 2, 1, 255, b"1 -1"), "damaged PNM"),
        (ppm(b"P2", 2, 1, 9, b"1 10"), "damaged PNM: a value above 9"),
        (ppm(b"P5", 0, 1, 9, b"1 10"), "damaged PNM"),
        (ppm(b"P5", 2, 1, 0, b"1 10"), "damaged PNM"),
    ],
)
@pytest.mark.filterwarnings("ignore:string or file:DeprecationWarning")
def test_pnm_that_is_none(data, why):
    assert why in reason(data)


@pytest.mark.parametrize("text", [b"P1 is how this text begins", b"P6\n", b"P7\nWIDTH 3", b"P5x 1"])
def test_text_is_no_pnm(text):
    assert image_format(text) is None


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\n<!doctype HTML><html>", "web page"),
        (b"8BPS\0\1", "Photoshop"),
        (b"%PDF-1.7", "PDF"),
        (b"<svg xmlns", "SVG"),
        (b"\0\0\1\0\1\0", "icon"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
    ],
)
def test_what_is_no_image_is_called_by_its_name(head, why):
    assert why in reason(head)


def test_a_raw_file_is_not_taken_for_its_preview():
    assert "raw" in reason(tiff(2, 1, bytes(2), {254: (4, [1]), 330: (4, [8])}))
    assert pixels_of(tiff(2, 1, bytes(2), {254: (4, [1])}), (1, 2)).tolist() == [[[0] * 3] * 2]


def test_names_of_what_is_not_decoded_are_images_names_too():
    assert all(map(has_image_name, ("a.CR3", "b/c.psd", "d.heic", "e.svg", "f.ppm", "g.jxl")))
    assert all(map(has_image_name, ("a.dcm", "b.eps", "c.kdc")))
    assert set(FORMATS) <= limits.BYTES_PER_PIXEL.keys()


_BOUNDED = """
import resource, sys
from engine.images.decode import Rejected, decode

small, hostile = (open(name, "rb").read() for name in sys.argv[1:3])
try:
    decode(small, (8, 8), "bilinear")
except Rejected:
    pass
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30,) * 2)
try:
    decode(hostile, (224, 224), "bilinear")
    print("pixels")
except Rejected as rejected:
    print(rejected.reason)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space")
@pytest.mark.parametrize("size", [(8191, 8191), (16_384, 4096), (40_000, 40_000)])
@pytest.mark.parametrize(
    "form", [pytest.param("heif", marks=needs_heif), pytest.param("jp2", marks=needs_jp2)]
)
def test_hostile_files_end_within_their_memory(tmp_path, form, size):
    """What such a file does where memory ends is a reason, and no end of the process."""
    small = heif_samples.HEIF if form == "heif" else jp2(heif_samples.gradient())
    hostile = (
        resized_heif(*size) if form == "heif" else changed(small, 6, struct.pack(">LL", *size))
    )
    (tmp_path / "small").write_bytes(small)
    (tmp_path / "hostile").write_bytes(hostile)
    finished = subprocess.run(
        [sys.executable, "-c", _BOUNDED, tmp_path / "small", tmp_path / "hostile"],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.strip()
