"""engine.images.decode: every encoding gives the right pixels, every damage a reason."""

import io
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import heif_samples
import numpy as np
import pytest
from encoded_samples import png, png_chunk
from fuzzing import FUZZ
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageOps, features

from engine.images import decode as images
from engine.images import load
from engine.images.decode import Rejected, decode, decode_with_remark
from engine.images.formats import INTERPOLATIONS
from engine.images.framing import Framing
from engine.images.resize import resize

SIZE = (24, 32)  # height, width

needs_avif = pytest.mark.skipif(
    "avif" not in features.get_supported(), reason="this build of Pillow has no AVIF"
)


def picture(height=60, width=80, mode="RGB"):
    """Return a smooth picture, no side of which looks like another."""
    yy, xx = np.mgrid[0:height, 0:width]
    red, green = 255 * xx / max(width - 1, 1), 255 * yy / max(height - 1, 1)
    blue = 127 + 100 * np.sin(xx / 9 + yy / 5)
    pixels = np.stack([red, green, blue], -1).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def expected(image, size=SIZE, interpolation="bilinear"):
    return resize(image, size, interpolation)


def reason(data, size=SIZE):
    with pytest.raises(Rejected) as rejected:
        decode(data, size, "bilinear")
    assert "\n" not in rejected.value.reason
    assert len(rejected.value.reason) < 300
    return rejected.value.reason


def gap(a, b):
    assert a.shape == b.shape
    return np.abs(a.astype(int) - b.astype(int)).max()


LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {}, "WEBP": {"lossless": True}}


@pytest.mark.parametrize("form", LOSSLESS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_pixels_are_resized_straight_to_the_target(form, interpolation):
    pixels = decode(encoded(picture(), form, **LOSSLESS[form]), SIZE, interpolation)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, expected(picture(), SIZE, interpolation))


@pytest.mark.parametrize("form", ["JPEG", "GIF", pytest.param("AVIF", marks=needs_avif)])
def test_lossy_formats_come_close(form):
    wanted = np.asarray(picture())
    assert np.abs(decode(encoded(picture(), form), (60, 80), "bilinear") - 1.0 - wanted).mean() < 12


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_packed_tiff(compression):
    pixels = decode(encoded(picture(), "TIFF", compression=compression), SIZE, "bilinear")
    assert gap(pixels, expected(picture())) < 12


def test_content_counts_and_no_name():
    assert "not an image" in reason(b"no image at all, but long enough to be one" * 3)
    assert "not an image" in reason(b"BM is how this text begins, and no picture follows.")
    assert reason(b"") == "the file is empty"


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize(
    "form", ["JPEG", "PNG", "WEBP", "TIFF", pytest.param("AVIF", marks=needs_avif)]
)
def test_orientation(form, value):
    exif = Image.Exif()
    exif[0x0112] = value
    data = encoded(picture(), form, exif=exif, **LOSSLESS.get(form, {"quality": 95}))
    file = Image.open(io.BytesIO(data))
    upright = ImageOps.exif_transpose(file)
    upright.load()
    assert gap(decode(data, SIZE, "bilinear"), expected(upright.convert("RGB"))) <= 1


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0junk",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12\0\x03\0\0\0\x01\0",
    ],
)
def test_damaged_exif_is_upright(exif):
    data = encoded(picture(), "JPEG", exif=exif) if exif else encoded(picture(), "JPEG")
    assert (
        gap(decode(data, SIZE, "bilinear"), decode(encoded(picture(), "JPEG"), SIZE, "bilinear"))
        == 0
    )


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_unknown_orientation_is_upright(value):
    exif = Image.Exif()
    exif[0x0112] = value
    data = encoded(picture(), "JPEG", exif=exif)
    assert np.array_equal(
        decode(data, SIZE, "bilinear"), decode(encoded(picture(), "JPEG"), SIZE, "bilinear")
    )


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("height", "width"),
    [(500, 375), (800, 1000), (1793, 1793), (1791, 4000), (47, 4000), (448, 5000)],
)
def test_jpeg_scale_stays_at_twice_the_target(monkeypatch, height, width, turned):
    seen = []
    pixels = images._pixels
    monkeypatch.setattr(
        images, "_pixels", lambda image, *rest: seen.append(image.size) or pixels(image, *rest)
    )
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    target = (224, 160)
    decode(encoded(picture(height, width), "JPEG", exif=exif), target, "bilinear")
    upright = (width, height) if turned else (height, width)
    ((w, h),) = seen
    for loaded, whole, side in zip((h, w), upright, target, strict=True):
        assert loaded >= min(whole, 2 * side)
    # A scale smaller by half would not do: one of the sides would fall below twice the target.
    scale = max(upright[0] / h, upright[1] / w)
    smaller = min(u // t for u, t in zip(upright, (2 * target[0], 2 * target[1]), strict=True))
    assert scale > 7 or smaller < 2 * round(scale)


def test_reduced_jpeg_looks_the_same():
    photo = picture(1200, 1600)
    assert (
        gap(
            decode(encoded(photo, "JPEG", quality=95), (224, 224), "bilinear"),
            expected(photo, (224, 224)),
        )
        < 12
    )


def test_progressive_grey_and_cmyk_jpeg():
    for mode in ("L", "CMYK"):
        data = encoded(picture(mode=mode), "JPEG", progressive=True, quality=95)
        assert gap(decode(data, SIZE, "bilinear"), expected(picture(mode=mode).convert("RGB"))) < 12


def test_metadata_is_no_matter():
    data = encoded(picture(), "JPEG", comment=b"x" * 60000, icc_profile=b"y" * 100_000, dpi=(1, 1))
    assert np.array_equal(
        decode(data, SIZE, "bilinear"), decode(encoded(picture(), "JPEG"), SIZE, "bilinear")
    )


def test_multi_picture_file_gives_its_first_at_a_reduced_scale():
    file = io.BytesIO()
    picture(1200, 1600).save(
        file, "MPO", save_all=True, append_images=[picture(mode="L").convert("RGB")]
    )
    assert (
        gap(
            decode(file.getvalue(), (224, 224), "bilinear"),
            expected(picture(1200, 1600), (224, 224)),
        )
        < 12
    )


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_few_colours(mode):
    image = picture(mode=mode)
    wanted = expected(image.convert("RGB"))
    assert gap(decode(encoded(image, "PNG"), SIZE, "bilinear"), wanted) <= 1


def test_sixteen_bits_by_the_high_byte():
    ramp = np.linspace(0, 65535, 60 * 80).reshape(60, 80).astype(np.uint16)
    wanted = expected(Image.fromarray((ramp >> 8).astype(np.uint8)).convert("RGB"))
    for form in ("PNG", "TIFF"):
        pixels = decode(encoded(Image.fromarray(ramp), form), SIZE, "bilinear")
        assert np.array_equal(pixels, wanted)


def transparency(body):
    return png_chunk(b"tRNS", body)


def test_sixteen_bit_grey_with_a_transparent_value():
    data = png(2, 1, 16, 0, b"\0\x12\x34\x80\x00", transparency(b"\x12\x34"))
    assert decode(data, (1, 2), "nearest").tolist() == [[[255] * 3, [128] * 3]]


def test_sixteen_bit_colour_with_and_without_a_transparent_value():
    row = b"\0" + bytes([1, 0, 2, 0, 3, 0, 200, 9, 100, 9, 50, 9])
    assert decode(png(2, 1, 16, 2, row), (1, 2), "nearest").tolist() == [
        [[1, 2, 3], [200, 100, 50]]
    ]
    keyed = png(2, 1, 16, 2, row, transparency(bytes([1, 0, 2, 0, 3, 0])))
    assert decode(keyed, (1, 2), "nearest").shape == (1, 2, 3)


@pytest.mark.parametrize(
    ("depth", "colour", "greatest", "dark"),
    [
        *((16, colour, 4095, True) for colour in (0, 2, 4, 6)),
        *((16, colour, 4096, False) for colour in (0, 2, 4, 6)),
        (16, 0, 0, False),
        (8, 0, 9, False),
    ],
)
def test_twelve_bits_in_sixteen_are_remarked(depth, colour, greatest, dark):
    bands = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    values = np.zeros((2, bands), ">u2" if depth == 16 else np.uint8)
    values[1, 0] = greatest
    if colour in (4, 6):
        values[:, -1] = 65535
    data = png(2, 1, depth, colour, b"\0" + values.tobytes())
    assert bool(decode_with_remark(data, (1, 2), Framing("nearest")).remark) == dark


@pytest.mark.parametrize("image", [Image.new("I", (9, 9), 70000), Image.new("F", (9, 9), 0.5)])
def test_pixels_without_a_white_are_rejected(image):
    assert "white" in reason(encoded(image, "TIFF"))


def translucent():
    image = picture(mode="RGBA")
    alpha = np.broadcast_to(np.linspace(0, 255, 80), (60, 80)).astype(np.uint8)
    image.putalpha(Image.fromarray(alpha))
    return image


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_transparency_is_over_white(mode, form, interpolation):
    image = translucent().convert(mode)
    white = Image.new("RGBA", image.size, "white")
    wanted = expected(
        Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"), SIZE, interpolation
    )
    if (mode, form) == ("LA", "WEBP"):
        image = image.convert("RGBA")
    pixels = decode(encoded(image, form, **LOSSLESS[form]), SIZE, interpolation)
    assert gap(pixels, wanted) <= 4


def test_invisible_colours_do_not_bleed():
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 20, 40))
    pixels = decode(encoded(image, "PNG"), (10, 10), "bilinear").astype(int)
    assert (pixels[..., 0] == pixels[..., 1]).all()  # never reddish: blue and white alone


def test_transparent_palette_is_over_white():
    image = picture(mode="P")
    index = image.getpixel((0, 0))
    pixels = decode(encoded(image, "PNG", transparency=index), (60, 80), "nearest")
    assert pixels[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    "form", ["GIF", "PNG", "WEBP", "TIFF", pytest.param("AVIF", marks=needs_avif)]
)
def test_first_frame_of_an_animation(form):
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    data = (
        encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=100)
        if form != "TIFF"
        else (encoded(frames[0], form, save_all=True, append_images=frames[1:]))
    )
    assert gap(decode(data, (3, 4), "bilinear"), np.broadcast_to([255, 0, 0], (3, 4, 3))) < 12


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1), (65535, 1), (1, 65535)])
@pytest.mark.parametrize("form", ["PNG", "BMP"])
def test_thin_images(size, form):
    assert decode(encoded(Image.new("RGB", size, "red"), form), SIZE, "lanczos").shape == (*SIZE, 3)


def test_bombs_are_rejected_before_they_are_decoded():
    assert "too many pixels (30000 x 30000)" in reason(png(30000, 30000, 8, 2, b""))
    assert "too many pixels (1 x 65536)" in reason(png(1, 65536, 8, 2, b""))
    small = encoded(picture(16, 16), "JPEG")
    at = small.index(b"\xff\xc0") + 5
    large = small[:at] + struct.pack(">HH", 65500, 65500) + small[at + 4 :]
    assert "too many pixels (65500 x 65500)" in reason(large)
    bitmap = bytearray(encoded(picture(4, 4), "BMP"))
    bitmap[18:26] = struct.pack("<ll", 60000, 60000)
    assert "too many pixels" in reason(bytes(bitmap))


def run_length_bitmap(width, height, runs):
    image = Image.new("P", (4, 4))
    image.putpalette([channel for n in range(256) for channel in (n, 255 - n, 7)])
    data = bytearray(encoded(image, "BMP"))
    data[18:26] = struct.pack("<ll", width, height)
    data[30:34] = struct.pack("<L", 1)
    return bytes(data[: struct.unpack_from("<L", data, 10)[0]]) + runs


def test_run_length_bitmaps():
    runs = b"\x02\x05\0\0\x02\x09\0\1"  # the lowest row first
    pixels = decode(run_length_bitmap(2, 2, runs), (2, 2), "nearest")
    assert pixels.tolist() == [[[9, 246, 7]] * 2, [[5, 250, 7]] * 2]
    assert "too many pixels" in reason(run_length_bitmap(65535, 1365, b"\1\0\0\0" * 9))


def test_a_progressive_jpeg_of_too_many_scans_is_rejected(monkeypatch):
    data = encoded(picture(), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    many = data[:start] + data[start:-2] * 300 + data[-2:]
    monkeypatch.setattr(load, "MAX_SCANNED_PIXELS", 60 * 80 * 100)
    decode(data, SIZE, "bilinear")
    assert "scans" in reason(many)


def test_a_large_jpeg_is_decoded_at_its_reduced_scale():
    data = encoded(Image.new("L", (12000, 9000), 77), "JPEG")  # more than MAX_PIXELS
    assert gap(decode(data, SIZE, "bilinear"), np.full((*SIZE, 3), 77)) <= 1


@pytest.mark.parametrize(
    "form", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", pytest.param("AVIF", marks=needs_avif)]
)
def test_truncated_images_are_rejected(form):
    data = encoded(picture(200, 300), form)
    assert reason(data[: len(data) // 2])
    assert reason(data[:20])


_WITHIN_MEMORY = """
import resource, sys
from engine.images.decode import Rejected, decode, decode_with_remark

decode(open(sys.argv[2], "rb").read(), (8, 8), "bilinear")
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[3]) * 2**20,) * 2)
try:
    decode(open(sys.argv[1], "rb").read(), (224, 224), "bilinear")
    print("pixels")
except Rejected as rejected:
    print(rejected.reason)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space")
@pytest.mark.slow
def test_too_little_memory_is_a_reason_and_no_end(tmp_path):
    """However little there is: the decoder, the resize or its intermediate image may want more."""
    Image.new("RGB", (65500, 1300)).save(tmp_path / "wide.png")
    picture().save(tmp_path / "small.png")
    seen = set()
    for megabytes in (200, 330, 345, 360, 390, 420, 800):
        finished = subprocess.run(
            [
                sys.executable,
                "-c",
                _WITHIN_MEMORY,
                tmp_path / "wide.png",
                tmp_path / "small.png",
                str(megabytes),
            ],
            capture_output=True,
            text=True,
        )
        assert finished.returncode == 0, (megabytes, finished.stderr)
        seen.add(finished.stdout.strip())
    assert seen == {"pixels", "too large to decode in the memory there is"}


def test_threads_give_the_same_pixels():
    data = [
        encoded(picture(60 + n, 80), form)
        for n, form in enumerate(["JPEG", "PNG", "GIF", "WEBP"] * 10)
    ]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda d: decode(d, SIZE, "bilinear"), data))
    for pixels, one in zip(together, data, strict=True):
        assert np.array_equal(pixels, decode(one, SIZE, "bilinear"))


def seeds():
    """Return one encoding of each kind, small so that a mutation hits something."""
    exif = Image.Exif()
    exif[0x0112] = 6
    small = picture(12, 17)
    kinds = [
        encoded(small, "JPEG", exif=exif),
        encoded(small, "JPEG", progressive=True),
        encoded(small.convert("CMYK"), "JPEG"),
        encoded(small, "PNG", exif=exif),
        encoded(small.convert("P"), "PNG", transparency=3),
        encoded(
            translucent().resize((9, 7)),
            "PNG",
            save_all=True,
            append_images=[small.convert("RGBA").resize((9, 7))],
        ),
        encoded(small, "GIF", save_all=True, append_images=[small.convert("L")]),
        encoded(small, "BMP"),
        encoded(small.convert("P"), "BMP"),
        encoded(small, "WEBP", exif=exif),
        encoded(small, "WEBP", lossless=True, save_all=True, append_images=[small.rotate(9)]),
        encoded(small, "TIFF"),
        encoded(small, "TIFF", compression="tiff_lzw"),
        encoded(small, "TIFF", compression="jpeg"),
        encoded(Image.fromarray(np.arange(99, dtype=np.uint16).reshape(9, 11)), "PNG"),
    ]
    if "avif" in features.get_supported():
        kinds.append(encoded(small, "AVIF"))
    if "jpg_2000" in features.get_supported():
        kinds.append(encoded(small, "JPEG2000"))
    kinds += [encoded(small, "PPM"), b"P2 # text\n3 2 9\n1 2 3 4 5 9\n", b"P4 9 2\nabcd"]
    return [*kinds, heif_samples.HEIF, heif_samples.JPEG_XL, heif_samples.JPEG_XL_BOXES]


SEEDS = seeds()


@st.composite
def mutated(draw):
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        piece = draw(
            st.one_of(
                st.binary(max_size=4),
                st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"]),
            )
        )
        cut = draw(st.sampled_from([0, len(piece), len(piece), 9]))
        data[at : at + cut] = piece
    return bytes(data[: draw(st.sampled_from([len(data), len(data), len(data) // 2]))])


@FUZZ
@given(st.one_of(mutated(), st.binary(max_size=200)), st.sampled_from(sorted(INTERPOLATIONS)))
@example(b"\xff\xd8\xff", "bilinear")
@example(b"\xff\xd8\xff\xc0\x00\x02", "bilinear")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_bytes_give_pixels_or_a_reason(data, interpolation):
    try:
        pixels = decode(data, (5, 7), interpolation)
    except Rejected as rejected:
        pixels, why = None, rejected.reason
    if pixels is None:
        assert why
        assert "\n" not in why
    else:
        assert pixels.shape == (5, 7, 3)
        assert pixels.dtype == np.uint8
