"""The shell blocks of the README: which set Onceover up, which use it, and how a test runs those.

    python tests/readme_blocks.py   # the set-up, as a script: what the hosted workflow runs

A block of use runs anywhere: photographs, archives and networks that it names are stood in for.
"""

import os
import re
import shlex
import shutil
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"

# What stands in for the network that a command names, and what a command says of a network.
BACKBONE = "stand-in.onnx"
_OF_BACKBONE = {"--backbone", "--weights", "--layer", "--pool", "--size", "--preprocessing"}
_WITH_BACKBONE = {"extract", "export"}
_WITH_PICTURES = {"extract", "predict", "compare"}
_FENCED = re.compile(r"^```(sh|bash|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_USE = re.compile(r"(?:uv run )?(?:python -m (?:engine\.(?!demo)|cache\b)|onceover (?!demo))")


@dataclass(frozen=True)
class Block:
    """A fenced block of commands. output: what the page shows of what they print."""

    commands: Sequence[str]
    output: str

    @property
    def is_use(self) -> bool:
        """Whether all of it are calls of the product, but for its demo."""
        return all(_USE.match(command) for command in self.commands)


def blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of shell commands on a page, in order."""
    for kind, body in re.findall(
        r"^```(sh|bash|console)\n(.*?)^```", text, re.DOTALL | re.MULTILINE
    ):
        lines = body.replace("\\\n", " ").splitlines()
        if kind == "console":
            commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
            output = "\n".join(line for line in lines if not line.startswith("$ "))
        else:
            commands, output = lines, ""
        stripped = (re.sub(r"(^|\s)#.*", "", line).strip() for line in commands)
        yield Block([line for line in stripped if line], output)


def set_up(text: str) -> list[str]:
    """Return the commands of the other blocks, but for those that fetch the code."""
    others = [command for block in blocks(text) if not block.is_use for command in block.commands]
    return [command for command in others if not re.match(r"git clone|cd ", command)]


def runnable(command: str, folder: Path, pictures: Path, backbone: Path) -> list[str]:
    """Return a command of use with stand-ins for what it names, which are made in a folder.

    pictures: a folder for each class. backbone: a small foreign ONNX file.
    """
    words = shlex.split(command.removeprefix("uv run "))
    start = [sys.executable, *words[1:3]] if words[0] == "python" else [sys.executable, *_console()]
    verb = words[2].removeprefix("engine.") if words[0] == "python" else words[1]
    rest = words[3:] if words[0] == "python" else words[1:]
    shutil.copyfile(backbone, folder / BACKBONE)
    if verb in _WITH_BACKBONE and "--head" not in rest:
        rest = [*_without(rest, _OF_BACKBONE), "--backbone", BACKBONE, "--preprocessing", "none"]
    if verb == "compare":
        rest = _compared(rest)
    rest = [_head(word, folder) for word in rest]
    if verb in _WITH_PICTURES:
        for word in _positional(rest[words[0] != "python" :]):
            stand_in(folder / word, pictures)
    return [*start, *rest]


def stand_in(path: Path, pictures: Path) -> None:
    """Make what a command names, if it is not there: an archive, table or picture by its ending."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    files = sorted(entry for entry in pictures.rglob("*") if entry.is_file())
    name = path.name.lower()
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(pictures))
    elif re.search(r"\.(tar|tgz)(\.\w+)?$", name):
        kind = {"tgz": "gztar", "gz": "gztar", "xz": "xztar", "bz2": "bztar"}
        archived = shutil.make_archive(
            str(path.with_name("archived")), kind.get(name.rsplit(".", 1)[1], "tar"), pictures
        )
        Path(archived).rename(path)
    elif name.endswith((".csv", ".tsv")):
        mark = "," if name.endswith(".csv") else "\t"
        rows = (mark.join((file.as_posix(), file.parent.name)) for file in files)
        path.write_text("\n".join([mark.join(("path", "label")), *rows]) + "\n", encoding="utf-8")
    elif "." in name:
        shutil.copyfile(files[0], path)
    else:
        shutil.copytree(pictures, path)


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of such a command: this code, and models away from the user's."""
    models = str(folder / "models")
    return {**os.environ, "PYTHONPATH": str(ROOT), "ONCEOVER_MODELS": models, "COLUMNS": "100"}


def _console() -> list[str]:
    """Return what starts the console script, as pyproject.toml declares it."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (module, function), *_ = re.findall(r'^onceover = "([\w.]+):(\w+)"', text, re.MULTILINE)
    return ["-c", f"import sys; from {module} import {function}; sys.exit({function}())"]


def _without(words: Sequence[str], options: set[str]) -> list[str]:
    """Return words without some options and their values."""
    dropped = {n + step for n, word in enumerate(words) if word in options for step in (0, 1)}
    return [word for n, word in enumerate(words) if n not in dropped]


def _compared(words: Sequence[str]) -> list[str]:
    """Return a comparison of the stand-in with itself under another preprocessing, and so on."""
    ways = iter(("none", "tf", "torch", "caffe"))
    return [
        f"{BACKBONE}?preprocessing={next(ways)}" if words[n - 1 : n] == ["--backbone"] else word
        for n, word in enumerate(words)
    ]


def _head(word: str, folder: Path) -> str:
    """Return the newest head of a cache where a word names one that is not there."""
    cache, heads, _ = word.partition("/heads/")
    if not heads or (folder / word).exists():
        return word
    trained = sorted((folder / cache / "heads").iterdir(), key=lambda path: path.stat().st_mtime)
    return f"{cache}/heads/{trained[-1].name}"


def _positional(words: Sequence[str]) -> list[str]:
    """Return the words before the first option: what a command reads."""
    options = [n for n, word in enumerate(words) if word.startswith("-")]
    return list(words[: options[0]] if options else words)


if __name__ == "__main__":
    print("\n".join(set_up(README.read_text(encoding="utf-8"))))
