"""The rooms in CONTRIBUTING.md out of the import contract: uv run python tests/room_drawing.py."""

import ast
from collections.abc import Sequence
from pathlib import Path

from importlinter.api import read_configuration

ROOT = Path(__file__).parents[1]
PATH = ROOT / "CONTRIBUTING.md"
BEGIN, END = (
    "<!-- the rooms: uv run python tests/room_drawing.py -->\n",
    "<!-- end of the rooms -->\n",
)

# Of the product's modules and rooms the boxes leave this out.
_PACKAGE = "engine."


def layers() -> list[list[str]]:
    """Return the modules and packages of each layer of the contract `rooms`, the top one first."""
    contracts = read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    (lines,) = (contract["layers"] for contract in contracts if contract["id"] == "rooms")
    return [[name.strip("() ") for name in line.replace(":", "|").split("|")] for line in lines]


def document(page: str) -> str:
    """Return a page with what stands between its markers made anew."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    rooms = [name for layer in layers() for name in layer]
    words = [f"| `{name}` | {description(name)} |\n" for name in rooms]
    table = "".join(["| room | what is in it |\n|---|---|\n", *words])
    return f"{before}{BEGIN}\n```text\n{drawing(layers())}```\n\n{table}\n{END}{after}"


def drawing(stack: Sequence[Sequence[str]]) -> str:
    """Return the layers as boxes, one upon the other."""
    rows = [[name.removeprefix(_PACKAGE) for name in layer] for layer in stack]
    width = max(len(row) * (3 + max(map(len, row))) for row in rows)
    edges = [{round(number * width / len(row)) for number in range(len(row) + 1)} for row in rows]
    lines = []
    for row, below, above in zip(rows, edges, [set(), *edges], strict=False):
        lines.append(_rule(above, below))
        cells = zip(row, sorted(below)[:-1], sorted(below)[1:], strict=True)
        lines.append("│" + "│".join(name.center(to - at - 1) for name, at, to in cells) + "│")
    lines.append(_rule(edges[-1], set()))
    return "".join(f"{line}\n" for line in lines)


def description(name: str) -> str:
    """Return the first line of a room's or module's docstring, in a table's cell."""
    path = ROOT.joinpath(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    assert text, f"{name} says nothing of itself"
    return text.splitlines()[0].replace("|", "\\|")


def _rule(above: set[int], below: set[int]) -> str:
    last = max(above | below)
    columns = range(last + 1)
    return "".join(_CORNERS[at in above, at in below, at > 0, at < last] for at in columns)


# Of what meets: a line upwards, downwards, to the left, to the right.
_CORNERS = {
    (False, False, True, True): "─", (True, True, True, True): "┼",
    (True, False, True, True): "┴", (False, True, True, True): "┬",
    (True, True, False, True): "├", (True, True, True, False): "┤",
    (False, True, False, True): "┌", (False, True, True, False): "┐",
    (True, False, False, True): "└", (True, False, True, False): "┘",
}  # fmt: skip


if __name__ == "__main__":
    PATH.write_text(document(PATH.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
