"""docs/commands.md out of the parsers themselves: uv run python tests/command_docs.py."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from cache.__main__ import build_parser as cache_parser
from engine import compare, export, extract, fit_head, predict, review
from engine.demo import __main__ as demo

PATH = Path(__file__).parents[1] / "docs" / "commands.md"

_TOP = """\
# The commands

Made from the parsers by `uv run python tests/command_docs.py`; a test fails when it has fallen
behind.

`onceover extract|fit|review|compare|predict|export|cache|demo` runs the same as `python -m ...`
below.
Exit codes: 0 done, 1 the job failed, 2 usage, 130 interrupted (finished work is kept).
Every command takes `--json` (one JSON value on stdout and nothing else there), `--quiet` (no
messages and no progress) and `--help`.
"""

_COMMON = {"--json", "--quiet", "--help"}


def document() -> str:
    """Return the whole page."""
    parsers = [m.build_parser() for m in (extract, fit_head, review, compare, predict, export)]
    sections = [_section(parser) for parser in (*parsers, cache_parser(), demo.build_parser())]
    return "\n".join([_TOP, *sections])


def _section(parser: argparse.ArgumentParser) -> str:
    lines = [f"## {parser.prog}", "", parser.description or "", ""]
    example = (parser.epilog or "").removeprefix("example:\n  ")
    lines += ["```sh", example, "```", ""]
    lines += _table(parser)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                lines += [f"### {parser.prog} {name}", "", f"{sub.description}.", "", *_table(sub)]
    return "\n".join(lines)


def _table(parser: argparse.ArgumentParser) -> Iterator[str]:
    rows = [row for action in parser._actions for row in _rows(action)]
    if rows:
        yield from ("| option | meaning |", "|---|---|", *rows, "")


def _rows(action: argparse.Action) -> Iterator[str]:
    if isinstance(action, argparse._SubParsersAction) or _COMMON & set(action.option_strings):
        return
    value = "" if action.nargs == 0 else action.metavar or "|".join(map(str, action.choices or []))
    name = " ".join(filter(None, [*action.option_strings[-1:], str(value)]))
    name += "..." if action.nargs == "+" else ""
    required = " (required)" if action.required and action.option_strings else ""
    cells = (f"`{name}`{required}", str(action.help))
    yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8", newline="\n")
