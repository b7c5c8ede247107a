"""Pieces of HTML for the report, with everything that comes from outside escaped."""

import html
from collections.abc import Iterable, Sequence

from cache.commandline.printable import printable


def safe(text: str, limit: int = 120) -> str:
    """Return text from outside as HTML that shows it on one line and does nothing else."""
    return html.escape(printable(text, limit))


def card(title: str, body: str, wide: bool = False) -> str:
    """Return a section of the page. title, body: finished HTML."""
    return f'<section class="card{" wide" * wide}"><h2>{title}</h2>{body}</section>\n'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """Return a table of finished HTML. texts: how many columns at the left are no numbers."""

    def cells(tag: str, values: Sequence[str]) -> str:
        classes = (' class="text"' if number < texts else "" for number in range(len(values)))
        return "".join(
            f"<{tag}{kind}>{value}</{tag}>" for kind, value in zip(classes, values, strict=True)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{cells("th", head)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
