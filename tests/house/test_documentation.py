"""The pages say what the parsers, the import contract and the folders say."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import command_docs
import limits_page
import pytest
import room_drawing

from engine.backbones import architectures
from onceover.__main__ import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "pyproject.toml")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "benchmarks").rglob("*.md")),
]
PACKAGES = ("engine", "cache", "onceover", "benchmarks", "tests")
MODULES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))

FILE = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)}|docs|\.ci|\.github)/[\w./*-]*\w")
MODULE = re.compile(r"(?<![\w./-])(?:engine|onceover|benchmarks)(?:\.[a-z_]\w*)+")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> str:
    """Return a page, or of a module its comments and docstrings."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    tree = ast.parse(text)
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef)
    words = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, owners)]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join([*words, *(each.string for each in tokens if each.type == tokenize.COMMENT)])


def missing(text: str) -> Iterator[str]:
    """Yield what a text names that is not there: files, folders, modules and names in modules."""
    for name in FILE.findall(text):
        decision = f"{name}-*.md"  # of which pages and comments name the number
        if not any(ROOT.glob(name)) and not any(ROOT.glob(decision)):
            yield name
    for name in MODULE.findall(text):
        if not name.endswith((".py", ".json")) and not is_there(name.split(".")):
            yield name


def is_there(parts: list[str]) -> bool:
    """Return whether dotted parts are a package, a module or a name that a module binds."""
    for count in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:count])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if file.exists():
            attributes = parts[count:]
            return not attributes or bool(
                re.search(rf"^\s*(?:def |class )?{attributes[0]}\b", file.read_text(), re.MULTILINE)
            )
    return False


@pytest.mark.parametrize("path", [*PAGES, *MODULES], ids=relative)
def test_what_is_named_is_there(path):
    assert list(missing(text_of(path))) == []


def test_what_is_not_there_is_seen():
    assert list(missing("`engine/keras_models.py` and engine.heads.absent, `engine.gone`")) == [
        "engine/keras_models.py", "engine.heads.absent", "engine.gone",
    ]  # fmt: skip
    assert not list(missing("engine/extract.py, engine.heads.head.load_head, engine/*/__init__.py"))


def test_the_commands_have_not_fallen_behind():
    assert command_docs.PATH.read_text(encoding="utf-8") == command_docs.document(), (
        "run: uv run python tests/command_docs.py"
    )


def test_the_page_of_limits_has_not_fallen_behind():
    page = limits_page.PATH.read_text(encoding="utf-8")
    assert page == limits_page.document(), "run: uv run python tests/limits_page.py"


def test_every_limit_is_on_the_page_and_says_of_what():
    absent = set(limits_page.limits_of_the_code()) - limits_page.MEANINGS.keys()
    assert not absent, "say in tests/limits_page.py of what it is the limit"


def test_the_drawing_of_the_rooms_has_not_fallen_behind():
    page = room_drawing.PATH.read_text(encoding="utf-8")
    assert page == room_drawing.document(page), "run: uv run python tests/room_drawing.py"


def test_boxes_stand_upon_each_other():
    assert room_drawing.drawing([["a.b"], ["engine.cc", "d"]]).splitlines() == [
        "┌─────────┐",
        "│   a.b   │",
        "├────┬────┤",
        "│ cc │ d  │",
        "└────┴────┘",
    ]


def test_the_example_of_an_architecture_is_one_of_the_table():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(Architecture\(.*?)```", page, re.DOTALL)
    example = eval(block.rstrip().rstrip(","), vars(architectures).copy())
    assert example == architectures.ARCHITECTURES[example.name]


@pytest.mark.parametrize("module", [module for module, _ in COMMANDS.values()])
def test_every_command_is_on_the_page_of_commands(module):
    name = module.removesuffix(".__main__")
    assert f"\n## python -m {name}\n" in command_docs.document()


def test_every_option_that_the_readme_names_exists():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    call = r"^(?:\$ )?(?:uv run )?(?:python -m (?:engine|cache)\b|onceover \w+).*$"
    lines = re.findall(call, readme, re.MULTILINE)
    assert len(lines) >= 5
    known = command_docs.document()
    for line in lines:
        for option in re.findall(r"--[a-z-]+", line):
            assert f"`{option}" in known, line


@pytest.mark.parametrize("path", [*PAGES, ROOT / "CHANGELOG.md"], ids=relative)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#:\s]+)\)", path.read_text(encoding="utf-8")):
        folder = ROOT / "docs" if path.parent == ROOT / "benchmarks" else path.parent
        assert (folder / target).exists(), target


def test_ci_runs_the_test_command_of_the_readme():
    assert "\nuv run pytest -n 2\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\nuv run pytest -n 2 " in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.relative_to(ROOT).parts[0] != "tests"],
    ids=relative,
)
def test_a_module_has_at_most_250_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 250


def test_each_decision_has_a_number_of_its_own():
    """Others name it by that."""
    numbers = [path.name[:3] for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
    assert numbers == sorted(set(numbers))
    for path in (ROOT / "docs" / "decisions").glob("*.md"):
        assert path.read_text(encoding="utf-8").startswith(f"# {path.name[:3]}: "), path.name
