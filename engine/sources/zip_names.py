"""The names in a zip archive, most of which do not say in which encoding they are."""

import re
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Sequence

_SAYS_UTF8 = 0x800  # APPNOTE 4.4.4, general purpose bit 11
_UNICODE_PATH = 0x7075  # APPNOTE 4.6.9: the name once more, in UTF-8

# What programs write who do not say so: DOS and Windows of the west, then of Russia, Japan, China.
# The first comes last among equals, for it takes any bytes.
_CODE_PAGES = ("cp850", "cp1252", "cp437", "cp866", "cp1251", "cp932", "gbk")

# Names that a code page is told by, and characters of each.
_JUDGED, _CHARACTERS = 2000, 200


def decode_names(members: Sequence[zipfile.ZipInfo]) -> tuple[list[str], str]:
    """Return the members' names, with `/`, and a line for what was guessed; empty for nothing.

    A name that does not say that it is UTF-8 is so if all such names are valid UTF-8, as those of
    `zip` on Linux and of macOS' Finder are; else it is in the code page whose letters make the
    likeliest words. Some Windows programs write `\\\\` for `/`.
    """
    unsaid = [_bytes(member) for member in members]
    encoding = _encoding([name for name in unsaid if name is not None and not name.isascii()])
    names = [
        member.filename if name is None else name.decode(encoding or "utf-8", "surrogateescape")
        for member, name in zip(members, unsaid, strict=True)
    ]
    line = f"the archive's names are taken to be in {encoding}; it does not say" if encoding else ""
    return [name.replace("\\", "/") for name in names], line


def _bytes(member: zipfile.ZipInfo) -> bytes | None:
    """Return a name's bytes where nothing says their encoding, else None."""
    if member.flag_bits & _SAYS_UTF8:
        return None
    raw = member.orig_filename.encode("cp437")  # as `zipfile` decodes what does not say
    extra = member.extra
    while len(extra) >= 4:
        kind, size = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        # A version byte and a CRC of the name above go before it.
        if (
            kind == _UNICODE_PATH
            and size > 5
            and zlib.crc32(raw) == int.from_bytes(extra[5:9], "little")
        ):
            return extra[9 : 4 + size]
        extra = extra[4 + size :]
    return raw.partition(b"\0")[0]


def _encoding(names: Sequence[bytes]) -> str | None:
    """Return the code page of names that are not ASCII; None for UTF-8, or for none."""
    if not names or _decodes(names, "utf-8"):
        return None
    judged = [name[:_CHARACTERS] for name in names[:_JUDGED]]
    pages = [page for page in _CODE_PAGES if _decodes(judged, page)]
    return min(
        pages, key=lambda page: sum(_oddness(name.decode(page)) for name in judged), default=None
    )


def _decodes(names: Iterable[bytes], encoding: str) -> bool:
    try:
        for name in names:
            name.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _oddness(text: str) -> int:
    """Return how unlike a name a text is: signs among letters, scripts and cases in one word."""
    odd, before = 0, ""
    for character in text:
        if not character.isascii():
            odd += 0 if unicodedata.category(character) in ("Ll", "Lu", "Lo", "Lm") else 3
            # Kanji take two bytes, so any pair of odd letters would do for one: a little against.
            odd += 1 if unicodedata.category(character) == "Lo" else 0
        if before.isalpha() and character.isalpha():
            odd += 3 if _script(before) != _script(character) else 0
            odd += 3 if before.islower() and character.isupper() else 0
        before = character
    # Accents are among plain letters: a word of nothing else is one of another script.
    return odd + 3 * sum(map(_is_accents_alone, re.findall(r"[^\W\d_]{2,}", text)))


def _is_accents_alone(word: str) -> bool:
    return not any(letter.isascii() for letter in word) and all(
        _script(letter) == "LATIN" for letter in word
    )


def _script(letter: str) -> str:
    return "LATIN" if letter.isascii() else unicodedata.name(letter, "?").split()[0]
