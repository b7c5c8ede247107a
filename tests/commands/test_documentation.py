"""docs/commands.md says what the parsers say, and the README what is true of the commands."""

import re
from pathlib import Path

import command_docs
import pytest

from engine.__main__ import COMMANDS

ROOT = Path(__file__).parents[2]


def test_the_page_has_not_fallen_behind():
    assert command_docs.PATH.read_text(encoding="utf-8") == command_docs.document(), (
        "run: uv run python tests/command_docs.py"
    )


@pytest.mark.parametrize("module", [module for module, _ in COMMANDS.values()])
def test_every_command_is_on_it(module):
    name = module.removesuffix(".__main__")
    assert f"\n## python -m {name}\n" in command_docs.document()


def test_every_option_that_the_readme_names_exists():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^(?:uv run )?python -m (?:engine|cache)\b.*$", readme, re.MULTILINE)
    assert len(lines) >= 5
    known = command_docs.document()
    for line in lines:
        for option in re.findall(r"--[a-z-]+", line):
            assert f"`{option}" in known, line


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


def test_ci_runs_the_test_command_of_the_readme():
    assert "\nuv run pytest\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\nuv run pytest " in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
