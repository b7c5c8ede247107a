"""The formats that are decoded, told by their first bytes, and the names that images go by."""

# Names that promise an image. HEIF, JPEG XL and JPEG 2000 are among them although they are not
# decoded: such a file is then rejected with a reason, not passed over.
EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp"}
    | {".tif", ".tiff", ".avif", ".avifs", ".heic", ".heif", ".hif", ".jxl", ".jp2"}
)

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")

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
    return None
