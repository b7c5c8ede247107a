"""The formats that are decoded, told by their first bytes, and the names that images go by."""

import re

# Names that promise an image. Those of the second half are of formats that are not decoded: such a
# file is rejected with a reason, not passed over.
EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp"}
    | {".tif", ".tiff", ".avif", ".avifs", ".heic", ".heics", ".heif", ".heifs", ".hif", ".jxl"}
    | {".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm"}
    | {".cr2", ".cr3", ".crw", ".nef", ".arw", ".orf", ".raf", ".rw2", ".pef", ".srw", ".x3f"}
    | {".dng", ".psd", ".psb", ".xcf", ".svg", ".svgz", ".ico", ".cur", ".tga", ".pcx", ".exr"}
    | {".hdr", ".dds", ".jxr", ".wdp", ".jls", ".pam", ".pfm", ".qoi", ".bpg", ".djvu"}
    | {".dcm", ".dicom", ".eps", ".kdc", ".rwl", ".erf", ".3fr", ".iiq"}
)

FORMATS = (
    *("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"),
    *("AVIF", "HEIF", "JPEG 2000", "JPEG XL", "PNM"),
)

# Of the resize; the first is the default, see `engine.images.resize`.
INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "lanczos")

# Over how many views a prediction is averaged: the image; its mirror image too; four crops too.
VIEWS = (1, 2, 6)

# How many bytes `image_format` looks at: enough for the brands in the first box of an AVIF file.
HEAD_BYTES = 64

_SIGNATURES = (
    (b"onceover pixels 1 ", "PIXELS"),  # pixels from memory, see engine.images.raw
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),  # a bare codestream
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
)

# Brands of HEIF files; those of structure alone, mif1 and msf1, may be AVIF as well.
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

# `P1` alone also begins plain text.
_PNM = re.compile(rb"P[1-6]\s+(?:#|\d)")

# What people give as images and is in none of FORMATS, by its first bytes: what it is, what to do.
_OTHERS = (
    (b"version https://git-lfs", "a pointer of Git LFS; get the file itself by `git lfs pull`"),
    (b"8BPS", "a Photoshop file; save it as PNG or JPEG"),
    (b"%PDF", "a PDF; save its pages as images"),
    (b"\0\0\1\0", "an icon; save it as PNG"),
    (b"<!DOCTYPE html", "a web page, not the image; download the image itself"),
    (b"<html", "a web page, not the image; download the image itself"),
    (b"<svg", "an SVG drawing; save it as PNG"),
    (b"<?xml", "XML, maybe an SVG drawing; save it as PNG"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file; develop it to JPEG or TIFF"),
    (b"IIRO", "a camera's raw file; develop it to JPEG or TIFF"),
    (b"IIU\0", "a camera's raw file; develop it to JPEG or TIFF"),
    (b"v/1\x01", "an OpenEXR file; save it as PNG or TIFF of 8 or 16 bits"),
    (b"DDS ", "a DirectDraw texture; save it as PNG"),
    (b"%!PS", "PostScript; save it as PNG"),
    (b"qoif", "a QOI file; save it as PNG"),
)

# The sizes of the headers that follow the 14 bytes of a BMP file's own. `BM` alone also begins
# plain text.
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def has_image_name(name: str) -> bool:
    """Return whether a file name (or a path with `/`) ends like an image's."""
    base = name.rsplit("/", 1)[-1]
    return f".{base.rsplit('.', 1)[-1].lower()}" in EXTENSIONS and "." in base


def image_format(head: bytes) -> str | None:
    """Return which of FORMATS a file is in by its first HEAD_BYTES bytes, or None."""
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    brands = head[8:HEAD_BYTES]
    if head[4:8] == b"ftyp" and (b"avif" in brands or b"avis" in brands):
        return "AVIF"
    if head[4:8] == b"ftyp" and any(brand in brands for brand in _HEIF_BRANDS):
        return "HEIF"
    return "PNM" if _PNM.match(head) else None


def other_kind(head: bytes) -> str:
    """Return what a file in none of FORMATS is, and what to do; empty where nothing is known."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    kinds = (kind for start, kind in _OTHERS if text[: len(start)].lower() == start.lower())
    return next(kinds, "")
