"""Columns of text on a terminal: what a text takes there, and how it is made to fit."""

import unicodedata
from collections.abc import Iterable


def display_width(text: str) -> int:
    """Return how many cells a printable text takes: two for wide characters, none for accents.

    Source: Unicode Standard Annex 11, East Asian Width.
    """
    return sum(map(_cells, text))


def fitted(text: str, width: int) -> str:
    """Return a printable text padded to `width` cells, without its middle if it is longer."""
    if display_width(text) > width:
        tail = _within(reversed(text), width // 2)[::-1]
        text = _within(text, width - 1 - display_width(tail)) + "…" + tail
    return text + " " * (width - display_width(text))


def _within(characters: Iterable[str], width: int) -> str:
    """Return as many of the first characters as `width` cells hold."""
    kept = ""
    for character in characters:
        width -= _cells(character)
        if width < 0:
            break
        kept += character
    return kept


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
