"""Labels as people meant them: one form for each, and a word on those that look wrong."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable

from cache.commandline.printable import printable
from cache.failures import UsageFailure

# Labels named in one message, and characters of each.
_NAMED, _CHARACTERS = 4, 40

# `cat.0.jpg`, `dog_12.png`, `red apple (3).jpg`: words, then a number.
_NUMBERED = re.compile(r"([^\W\d_][^\d]*?)[ ._-]*\(?\d+\)?\.\w+")


def tidy(label: str) -> str | None:
    """Return a label in Unicode's composed form, without blanks around it; None for nothing."""
    if label.isascii() and label[:1] > " " and label[-1:] > " ":
        return label
    return unicodedata.normalize("NFC", label).strip() or None


def label_pattern(text: str) -> re.Pattern[str]:
    """Return a user's regular expression, which has one group: the label.

    Raises:
        UsageFailure: it is none, or has no group or several.
    """
    try:
        pattern = re.compile(text)
    except re.error as error:
        shown = printable(text, 80)
        raise UsageFailure(f"{shown} is no regular expression: {error}") from error
    if pattern.groups != 1:
        raise UsageFailure(
            f"{printable(text, 80)} has {pattern.groups} groups; put the label's part, and no "
            r"other, in parentheses, as in (cat|dog)\.\d+\.jpg; (?:...) groups without taking"
        )
    return pattern


def spelling_remarks(labels: Iterable[str]) -> list[str]:
    """Return a line for labels that are one class, though they are written in several ways."""
    spellings = defaultdict(set)
    for label in sorted(labels):
        spellings[tidy(label)].add(label)
    return [
        f"{_list(sorted(group))} are one class: they differ in blanks or Unicode form alone"
        for group in spellings.values()
        if len(group) > 1
    ]


def suspicions(labels: Iterable[str]) -> list[str]:
    """Return a line for classes that may be meant to be one."""
    alike = defaultdict(set)
    for label in sorted(labels):
        alike[unicodedata.normalize("NFKC", label).casefold()].add(label)
    return [
        f"{_list(sorted(group))} are separate classes, though they differ in case or form alone"
        for group in alike.values()
        if len(group) > 1
    ]


def suggestion(names: Iterable[str]) -> str:
    """Return a line that says how labels can be taken from files' names; empty if they cannot.

    names: paths of images without a label. The names of nine in ten have to be one of 2 to 100
    words, each of them twice or more, before a number.
    """
    total, words = 0, Counter[str]()
    for name in names:
        total += 1
        if numbered := _NUMBERED.fullmatch(name.rsplit("/", 1)[-1]):
            words[numbered[1]] += 1
    usual = [word for word, count in words.items() if count > 1]
    if not 2 <= len(usual) <= 100 or sum(words[word] for word in usual) < 0.9 * total:
        return ""
    several = "|".join(re.escape(word) for word in sorted(usual)[:_NAMED])
    more = "|..." if len(usual) > _NAMED else ""
    return (
        f"the names begin with {_list(sorted(usual))}: labels '({several}{more})[^/]*$' takes "
        "the labels from the names"
    )


def _list(labels: list[str]) -> str:
    # repr: blanks and Unicode's forms are what they differ in.
    shown = [_quoted(label) for label in labels[:_NAMED]]
    return ", ".join(shown) + (", ..." if len(labels) > _NAMED else "")


def _quoted(label: str) -> str:
    ascii_form = ascii(label) if not unicodedata.is_normalized("NFC", label) else f"'{label}'"
    return printable(ascii_form, _CHARACTERS)
