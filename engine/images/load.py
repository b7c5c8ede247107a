"""Encoded bytes of one format -> an image that Pillow has loaded, within the limits.

Formats are opened by their own classes, not by `Image.open`, which tries them in turn and prints
warnings.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from PIL import Image
from PIL.AvifImagePlugin import SUPPORTED, AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from engine.images.chunks import check_gif, read_png
from engine.images.framing import resized
from engine.images.jp2 import check_jp2
from engine.images.jxl import read_jxl
from engine.images.limits import (
    BYTES_PER_PIXEL,
    MAX_JPEG_PIXELS,
    MAX_PIXELS,
    MAX_RLE_PIXELS,
    MAX_SCANNED_PIXELS,
    Rejected,
    check_bytes,
    check_size,
)
from engine.images.metadata import read_jpeg, read_orientation, swaps_sides
from engine.images.pnm import read_pnm
from engine.images.raw import raw_size, read_raw
from engine.images.tiff import read_tiff


@dataclass(frozen=True)
class Picture:
    """An image that Pillow has loaded, and what the file says of it besides.

    orientation: 1 to 8, for `transposition`.
    bits: of a value in the file; above 8, grey ones still have them all.
    min_is_white: whether 0 is white in an image of more than 8 bits.
    size: (width, height) that the file says, where it was loaded at a reduced scale.
    """

    image: Image.Image
    orientation: int = 1
    bits: int = 8
    min_is_white: bool = False
    size: tuple[int, int] | None = None


def load_picture(data: bytes, form: str, size: tuple[int, int], crop: str) -> Picture:
    """Load an encoded image.

    form: what `engine.images.formats.image_format` says of it.
    size: (height, width) of the pixels that are wanted. crop: one of `framing.CROPS`.

    Raises:
        Rejected: beyond a limit.
        Exception: of Pillow, which raises almost any where a file is damaged.
    """
    return _load_jpeg(data, size, crop) if form == "JPEG" else _LOADERS[form](data)


def _load_jpeg(data: bytes, size: tuple[int, int], crop: str) -> Picture:
    """Load a JPEG at a reduced scale that still has twice the pixels that it is resized to."""
    jpeg = read_jpeg(data)
    # The class itself: `Image.open` would warn about sizes, and take some photographs for MPO,
    # which has no reduced scale.
    image = JpegImageFile(io.BytesIO(jpeg.data))
    check_size(image.size, MAX_JPEG_PIXELS)
    if image.width * image.height * jpeg.scans > MAX_SCANNED_PIXELS:
        raise Rejected(f"too many passes over the pixels ({jpeg.scans} scans)")
    full = image.size
    orientation = read_orientation(jpeg.exif)
    turned = swaps_sides(orientation)
    height, width = resized(full if turned else full[::-1], size, crop)
    least = (2 * width, 2 * height)
    image.draft(None, least[::-1] if turned else least)
    check_size(image.size, MAX_PIXELS)
    check_bytes(jpeg.coefficient_bytes + _pillow_bytes(image, "JPEG"))
    image.load()
    return Picture(image, orientation, size=full)


def _load_png(data: bytes) -> Picture:
    png = read_png(data)
    return Picture(_load(PngImageFile, png.data, "PNG"), png.orientation, png.bits)


def _load_gif(data: bytes) -> Picture:
    check_gif(data)
    return Picture(_load(GifImageFile, data, "GIF"))


def _load_bmp(data: bytes) -> Picture:
    image = BmpImageFile(io.BytesIO(data))
    run_lengths = bool(image.tile) and image.tile[0][0] == "bmp_rle"
    check_size(image.size, MAX_RLE_PIXELS if run_lengths else MAX_PIXELS)
    image.load()
    return Picture(image)


def _load_webp(data: bytes) -> Picture:
    image = _load(WebPImageFile, data, "WEBP")
    return Picture(image, _recorded_orientation(image))


def _load_avif(data: bytes) -> Picture:
    if not SUPPORTED:
        raise Rejected("AVIF, which this build of Pillow does not decode")
    image = _load(AvifImageFile, data, "AVIF")
    return Picture(image, _recorded_orientation(image))


def _load_heif(data: bytes) -> Picture:
    """Load the first image of a HEIF file; libheif turns it, and its EXIF is to be passed over."""
    try:
        from pi_heif import HeifImageFile
    except ImportError:
        raise Rejected("HEIF (HEIC), for which the package pi-heif is needed") from None
    return _with_bits(_load(HeifImageFile, data, "HEIF"))


def _load_jp2(data: bytes) -> Picture:
    check_jp2(data)
    return _with_bits(_load(Jpeg2KImageFile, data, "JPEG 2000"))


def _load_jxl(data: bytes) -> Picture:
    jxl = read_jxl(data)
    check_size(jxl.size, MAX_PIXELS)
    check_bytes(jxl.size[0] * jxl.size[1] * BYTES_PER_PIXEL["JPEG XL"])
    try:
        from pillow_jxl.JpegXLImagePlugin import JXLImageFile
    except ImportError:
        raise Rejected("JPEG XL, for which the package pillow-jxl-plugin is needed") from None
    return _with_bits(_load(JXLImageFile, jxl.data, "JPEG XL"))


def _load_pnm(data: bytes) -> Picture:
    return Picture(read_pnm(data))


def _with_bits(image: Image.Image) -> Picture:
    """Return an image whose library scales its values up to 16 bits, or down to 8."""
    return Picture(image, bits=16 if image.mode.startswith("I;16") else 8)


def _load_tiff(data: bytes) -> Picture:
    tiff = read_tiff(data)
    image: Image.Image = TiffImageFile(io.BytesIO(tiff.data))
    check_size(image.size, MAX_PIXELS)
    # One block at a time is unpacked beside the image, before there is a second image.
    pixels = image.width * image.height
    check_bytes(pixels * BYTES_PER_PIXEL["TIFF"] // 2 + max(4 * pixels, tiff.block_bytes))
    image.load()
    if image.mode == "RGBA" and not tiff.has_alpha:
        image = image.convert("RGB")
    return Picture(image, tiff.orientation, tiff.bits, tiff.min_is_white)


def _load_pixels(data: bytes) -> Picture:
    height, width = raw_size(data)
    check_size((width, height), MAX_PIXELS)
    return Picture(read_raw(data))


_LOADERS: Mapping[str, Callable[[bytes], Picture]] = MappingProxyType(
    {
        "PNG": _load_png,
        "GIF": _load_gif,
        "BMP": _load_bmp,
        "WEBP": _load_webp,
        "TIFF": _load_tiff,
        "AVIF": _load_avif,
        "HEIF": _load_heif,
        "JPEG 2000": _load_jp2,
        "JPEG XL": _load_jxl,
        "PNM": _load_pnm,
        "PIXELS": _load_pixels,
    }
)


def _load(opener: Callable[[io.BytesIO], ImageFile], data: bytes, form: str) -> ImageFile:
    image = opener(io.BytesIO(data))
    check_size(image.size, MAX_PIXELS)
    check_bytes(_pillow_bytes(image, form))
    image.load()
    return image


def _pillow_bytes(image: Image.Image, form: str) -> int:
    return image.width * image.height * BYTES_PER_PIXEL[form]


def _recorded_orientation(image: Image.Image) -> int:
    exif = image.info.get("exif")
    return read_orientation(exif) if isinstance(exif, bytes) else 1
