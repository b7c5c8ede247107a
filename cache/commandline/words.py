"""How numbers and commands are put into words."""

import os
import shlex
import subprocess
from collections.abc import Iterable

from cache.commandline.printable import printable


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a count with its noun, as each message has it: `1 image`, `2,002 images`.

    plural: not noun + s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def quoted(word: str) -> str:
    """Return a word as it must be typed into a shell, without anything that a terminal obeys."""
    if os.name == "nt":
        return printable(subprocess.list2cmdline([word]), len(word) + 2)
    if printable(word, len(word) + 1) == word:
        return shlex.quote(word)
    return f"$'{''.join(map(_escaped, word))}'"


def _escaped(character: str) -> str:
    """Return a character as bash, zsh and ksh read it between $' and '."""
    if character in "\\'":
        return f"\\{character}"
    if printable(character) == character:
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


def command_line(prog: str, module: str, name: str, words: Iterable[str]) -> str:
    """Return another command to type, spoken as the one under way was called.

    prog: how that one was called: `onceover extract`, or `python -m engine.extract`.
    module, name: of the other one: `engine.fit_head` and, after `onceover`, `fit`.
    words: what comes after it.
    """
    script = prog.split(" ", 1)[0]
    called = f"python -m {module}" if prog.startswith("python -m ") else f"{script} {name}"
    return " ".join([called, *map(quoted, words)])
