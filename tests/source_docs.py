"""docs/sources.md out of the layouts that the tests read: uv run python tests/source_docs.py."""

import tempfile
from dataclasses import fields, replace
from pathlib import Path

from layout_samples import LAYOUTS, Layout, Parquet, Zip, read

from cache.rows import class_order

PATH = Path(__file__).parents[1] / "docs" / "sources.md"

_TOP = """\
# Sources: what is read from what people have

Made from the tests' own fixtures (`tests/layout_samples.py`) by `uv run python
tests/source_docs.py`; a test reads each of them, and fails when this page has fallen behind.
`extract SOURCE --dry-run` says the same of a source of yours and stops. What is guessed is said
before anything is run; what cannot be decided is an error with both readings. The rules are in
`docs/decisions/030-what-counts-as-a-class.md` and `docs/decisions/031-archives-from-strangers.md`.

A number is that of the images in a folder or of a class. Lines in italics are what is said.
"""

# Written by hand: what no fixture shows.
_REMOTE = Path(__file__).with_name("remote_sources.md")

_OPTIONS = {
    "labels": "--labels",
    "splits": "--splits",
    "path_column": "--path-column",
    "label_column": "--label-column",
    "split_column": "--split-column",
    "base": "--base",
}


def document() -> str:
    """Return the whole page."""
    parts = [_TOP]
    for title, layouts in LAYOUTS.items():
        rows = "\n".join(_row(layout) for layout in layouts)
        parts.append(f"## {title}\n\n| what | looks like | is read as |\n|---|---|---|\n{rows}\n")
    return "\n".join([*parts, _REMOTE.read_text(encoding="utf-8")])


def _row(layout: Layout) -> str:
    options = layout.options
    given = [
        f"`{_OPTIONS[field.name]} {value.format(folder='.')}`"
        for field in fields(options)
        if (value := getattr(options, field.name)) != field.default and value is not None
    ]
    with tempfile.TemporaryDirectory() as folder:
        base = options.base and options.base.format(folder=folder)
        reading = read(replace(layout, options=replace(options, base=base)), Path(folder))
    if reading.error:
        lines = [f"error: {_plain(reading.error)}"]
    else:
        lines = [
            ", ".join(f"{_plain(c)} {reading.classes[c]}" for c in class_order(reading.classes))
        ]
        if reading.unlabelled:
            lines.append(f"without a label {reading.unlabelled}")
        if reading.splits:
            lines.append("splits: " + ", ".join(f"{k} {n}" for k, n in reading.splits.items()))
        if reading.ignored:
            ignored = (f"{count} {kind}" for kind, count in sorted(reading.ignored.items()))
            lines.append("ignored: " + ", ".join(ignored))
        lines += [f"rejected: {_plain(reason)}" for reason in reading.rejected]
        lines += [f"*{_plain(line)}*" for line in reading.says]
    looks = [*_tree(layout.tree), *given]
    cells = (layout.title, "<br>".join(looks), "<br>".join(filter(None, lines)))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _tree(tree: dict, prefix: str = "") -> list[str]:
    """Return a line for each folder with images, and for each other file."""
    images = [name for name, content in tree.items() if isinstance(content, int)]
    lines = []
    if images:
        shown = images[0] if len(images) == 1 else f"{images[0]}, ... ({len(images)})"
        lines.append(f"`{prefix}{shown}`")
    for name, content in tree.items():
        if isinstance(content, Zip):
            lines += _tree(content.tree, f"{prefix}{name} ({content.encoding}): ")
        elif isinstance(content, Parquet):
            lines.append(f"`{prefix}{name}: {', '.join(content.columns)}`")
        elif isinstance(content, dict):
            packed = name.endswith((".zip", ".tar", ".gz"))
            lines += _tree(content, f"{prefix}{name}{': ' if packed else '/'}")
            lines += [] if content else [f"`{prefix}{name}`"]
        elif not isinstance(content, int):
            lines.append(f"`{prefix}{name}`{_text(content)}")
    return lines


def _text(content: str | bytes) -> str:
    """Return the first lines of a table."""
    for encoding in ("utf-16", "utf-8") if content[:2] == b"\xff\xfe" else ("utf-8",):
        text = content if isinstance(content, str) else content.decode(encoding, "ignore")
        lines = [line for line in text.replace("\t", " → ").splitlines() if line.strip()]
        if len(lines) > 1 and text.isprintable() is False:
            more = "<br>..." if len(lines) > 3 else ""
            return "".join(f"<br>&emsp;`{line}`" for line in lines[:3]) + more
    return ""


def _plain(text: str) -> str:
    return text.replace("*", "\\*").replace("<", "&lt;").replace("\u0301", "&#x301;")


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8", newline="\n")
