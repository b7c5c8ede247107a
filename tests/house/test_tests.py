"""The tests themselves: what they replace, they name as an object, so that a move finds them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def patched_by_name(source: str) -> Iterator[str]:
    """Yield the calls that replace something named by a dotted string."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args:
            name = ast.unparse(node.func).rpartition(".")[2]
            first = node.args[0]
            dotted = isinstance(first, ast.Constant) and "." in str(first.value)
            if name in {"setattr", "delattr", "patch"} and (
                dotted or isinstance(first, ast.JoinedStr)
            ):
                yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize(
    "path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.relative_to(TESTS).as_posix()
)
def test_replaced_things_are_named_as_objects(path):
    assert list(patched_by_name(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    ['monkeypatch.setattr("a.b", 1)', 'mock.patch("a.b")', 'm.setattr(f"{x}.b", 1)'],
)
def test_names_in_strings_are_seen(line):
    assert list(patched_by_name(line))
    assert not list(patched_by_name("monkeypatch.setattr(a, 'b', 1)"))
