"""Files just below a limit, each written by a function of its name; `python limit_cases.py NAME`
reads one in a process of its own and prints what it cost.
"""

import io
import json
import os
import struct
import sys
import tempfile
import time
from pathlib import Path

from encoded_samples import jpeg_segment, png_chunk, tiff
from encoded_samples import png as png_of
from limit_files import CASES
from PIL import Image

from engine.images import limits
from engine.images.decode import Rejected, decode
from engine.sources.base import MAX_BYTES

_SIDE = int(limits.MAX_PIXELS**0.5)
_TURNED = Image.Exif()
_TURNED[0x0112] = 6


def _encode(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _square(mode, form, side=_SIDE, **options):
    colour = (7, 8, 9, 100)[: len(mode)] if len(mode) > 1 else 77
    return _encode(Image.new(mode, (side, side), colour), form, **options)


def _side_within(form):
    """Return the side of the largest square whose bytes are within the limit."""
    return int(
        min(limits.MAX_PIXELS, limits.MAX_DECODE_BYTES // limits.BYTES_PER_PIXEL[form]) ** 0.5
    )


def _claim(data, height, width, marker=b"\xff\xc2"):
    at = data.index(marker) + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def _progressive(**options):
    return _encode(Image.new("RGB", (64, 64), "red"), "JPEG", progressive=True, **options)


def jpeg_pixels():
    side = int(limits.MAX_JPEG_PIXELS**0.5)
    return _encode(Image.new("L", (side, side), 77), "JPEG")


def jpeg_coefficients():
    return _claim(_progressive(subsampling="4:4:4"), 13_000, 13_000)


def jpeg_scans():
    data, side = _progressive(), 5000
    start = data.rindex(b"\xff\xda")
    scans = limits.MAX_SCANNED_PIXELS // side**2 - 20
    return _claim(data[:start] + data[start:-2] * scans + data[-2:], side, side)


def jpeg_segments():
    data = _progressive()
    body = bytes(MAX_BYTES // (limits.MAX_SEGMENTS + 1) - 4)
    return data[:20] + jpeg_segment(0xFE, body) * (limits.MAX_SEGMENTS - 30) + data[20:]


def jpeg_fill_bytes():
    data = _progressive()
    last = data.rindex(b"\xff\xda")
    run = b"\xff" * (limits.MAX_FILL_BYTES - 1) + b"\0"
    return data[:last] + run * (MAX_BYTES // len(run) - 1) + data[last:]


def png_pixels():
    return _square("RGBA", "PNG", exif=_TURNED, compress_level=1)


def png_chunks():
    empty = png_chunk(b"IDAT", b"") * (limits.MAX_CHUNKS - 4)
    return png_of(1, 1, 8, 0, b"\0\0", empty)


def gif_pixels():
    return _square("P", "GIF")


def gif_blocks():
    data = _encode(Image.new("L", (9, 9)), "GIF")
    at = data.index(b",\0\0\0\0")
    return data[:at] + b"!\xfe" + b"\1x" * (limits.MAX_GIF_BLOCKS - 9) + b"\0" + data[at:]


def bmp_run_lengths():
    image = Image.new("P", (4, 4))
    image.putpalette([0] * 768)
    data = bytearray(_encode(image, "BMP"))
    data[18:26] = struct.pack("<ll", 128, limits.MAX_RLE_PIXELS // 128)
    data[30:34] = struct.pack("<L", 1)
    runs = b"\x80\0\0\0" * (limits.MAX_RLE_PIXELS // 128) + b"\0\1"
    return bytes(data[: struct.unpack_from("<L", data, 10)[0]]) + runs


def tiff_pixels():
    return _square("RGBA", "TIFF", exif=_TURNED, compression="tiff_lzw")


def tiff_strips():
    tags = {273: (4, [8] * limits.MAX_TAG_VALUES), 279: (4, [1] * limits.MAX_TAG_VALUES)}
    return tiff(1, limits.MAX_TAG_VALUES // 8, bytes(9), tags | {278: (4, [1])})


def webp_pixels():
    return _square("RGBA", "WEBP", _side_within("WEBP"), lossless=True, method=0, exif=_TURNED)


def avif_pixels():
    side = _side_within("AVIF")
    return _square("RGBA", "AVIF", side, speed=10, subsampling="4:4:4", exif=_TURNED)


def jpeg_2000_pixels():
    return _square("RGBA", "JPEG2000", _side_within("JPEG 2000"))


def heif_pixels():
    from pillow_heif import register_heif_opener  # of the group `encoders`

    register_heif_opener()
    return _square(
        "RGBA", "HEIF", _side_within("HEIF"), quality=20, enc_params={"preset": "ultrafast"}
    )


def pnm_pixels():
    side = _side_within("PNM")
    return b"P6 %d %d 4095\n" % (side, side // 2) + bytes(side * (side // 2) * 6)


def pnm_text():
    side = int(limits.MAX_PLAIN_PIXELS**0.5)
    return b"P3 %d %d 9\n" % (side, side) + b"1 " * (3 * side * side)


IMAGES = (
    *(jpeg_pixels, jpeg_coefficients, jpeg_scans, jpeg_segments, jpeg_fill_bytes),
    *(png_pixels, png_chunks, gif_pixels, gif_blocks, bmp_run_lengths, tiff_pixels, tiff_strips),
    *(webp_pixels, avif_pixels, heif_pixels, jpeg_2000_pixels, pnm_pixels, pnm_text),
)


def main(name):
    """Write a case in a child; read it here, and print what that cost and how it went."""
    images = {case.__name__: case for case in IMAGES}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (CASES[name].file if name in CASES else "image")
        if os.fork() == 0:  # what writing takes is no part of the cost
            if name in CASES:
                CASES[name].write(path)
            else:
                path.write_bytes(images[name]())
            os._exit(0)
        assert os.wait()[1] == 0
        files = [path] if path.is_file() else path.rglob("*")
        size = sum(file.stat().st_size for file in files if file.is_file())
        _warm_up(name)
        before, started = _memory(), time.perf_counter()
        outcome = CASES[name].read(path) if name in CASES else _read_image(path)
        seconds = time.perf_counter() - started
        peak = max(0, _memory() - before) >> 20
    if name in CASES and CASES[name].share:
        outcome = f"{CASES[name].share}: {outcome}"
    print(
        json.dumps({"bytes": size, "seconds": round(seconds, 2), "mib": peak, "outcome": outcome})
    )


def _warm_up(name):
    """Import what reading a case needs, which is no part of its cost."""
    decode(png_of(1, 1, 8, 0, b"\0\0"), (8, 8), "bilinear")
    if name.startswith(("keras", "onnx")):
        import engine.exporters.backbone
        import engine.exporters.keras_file  # noqa: F401
    if name.startswith("parquet"):
        import pyarrow.parquet  # noqa: F401


def _read_image(path):
    try:
        decode(path.read_bytes(), (224, 224), "bilinear")
    except Rejected as rejected:
        return rejected.reason
    return "pixels"


def _memory():
    """Return the peak of the memory of this process in bytes, on Linux."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split("VmHWM:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main(sys.argv[1])
