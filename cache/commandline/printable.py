"""Text from outside (file names, labels, reasons) made safe to print on a terminal."""

import unicodedata

# Controls, formats (the right-to-left marks among them), surrogates (bytes that are not UTF-8),
# private use and unassigned code points, line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str, limit: int = 200) -> str:
    """Return `text` on one line, with everything that a terminal would obey written as an escape.

    Text longer than `limit` characters loses its middle.
    """
    if len(text) > limit:
        half = (limit - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    return "".join(map(_escape, text))


def _escape(character: str) -> str:
    if unicodedata.category(character) not in _UNPRINTABLE:
        return character
    if "\udc80" <= character <= "\udcff":  # Python's surrogateescape of one undecodable byte
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
