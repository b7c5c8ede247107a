"""Files that are no images, nor a source of them, by their first bytes, and what to do."""

# How many bytes are looked at.
HEAD_BYTES = 512

_LFS = b"version https://git-lfs"
_BEGINNINGS = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it (7z x) and give the folder"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it (unrar x) and give the folder"),
    (b"\x28\xb5\x2f\xfd", "packed by Zstandard; unpack it (zstd -d) and give what comes out"),
    (b"%PDF-", "a PDF; extract its pictures (pdfimages -all) and give their folder"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file; write its images as files and give their folder"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file; save its table as CSV"),
    (b"SQLite format 3\0", "a database; write its table as CSV"),
)

_HTML = (b"<!doctype html", b"<html", b"<head")
_OFFICE = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers")


def advice(head: bytes, suffix: str = "") -> str:
    """Return what a file is and what to do, if it is known to be no image or source, else nothing.

    head: its first HEAD_BYTES bytes. suffix: of its name, in lower case, with the dot.
    """
    if instead := instead_of_file(head):
        return instead
    for beginning, words in _BEGINNINGS:
        if head.startswith(beginning):
            return words
    if head[128:132] == b"DICM":
        return "a DICOM file; save its picture as PNG or TIFF"
    if suffix in _OFFICE:
        return "a spreadsheet; save it as CSV"
    return ""


def instead_of_file(head: bytes) -> str:
    """Return what was got in a file's stead and what to do, if that is known, else nothing.

    head: its first HEAD_BYTES bytes.
    """
    if head.startswith(_LFS):
        return "a Git LFS pointer and not the file; get it by git lfs pull"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:14].lower().startswith(_HTML):
        return "a page of the web and not the file: sign in where it comes from, or get it again"
    return ""
