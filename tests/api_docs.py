"""Writes docs/api.md from the docstrings of what `onceover` names.

python tests/api_docs.py
"""

import inspect
import re
from pathlib import Path

import onceover

PATH = Path(__file__).parents[1] / "docs" / "api.md"

INTRODUCTION = """# The Python API

`from onceover import ...`, written from the docstrings by `python tests/api_docs.py`. Each name is
imported when it is first asked for. Library code prints nothing: it logs under the loggers
`engine` and `cache`, tells one callback of its progress, and raises `Failure`, a line that says
what to do, for whatever you can mend. [python.md](python.md) shows it at work.
"""


def document() -> str:
    """Return the page."""
    return "\n".join([INTRODUCTION, *map(_section, onceover.__all__)])


def _section(name: str) -> str:
    value = getattr(onceover, name)
    parts = [f"## {name}\n", _signature(name, value), _text(value)]
    if inspect.isclass(value) and not issubclass(value, Exception):
        for member, attribute in sorted(vars(value).items()):
            if not member.startswith("_") and _is_documented(attribute):
                parts += [f"### {name}.{member}\n", _signature(member, attribute), _text(attribute)]
    return "\n".join(parts)


def _is_documented(attribute: object) -> bool:
    kinds = (property, classmethod, staticmethod)
    described = inspect.isfunction(attribute) or isinstance(attribute, kinds)
    described = described or type(attribute).__name__ == "cached_property"
    return described and bool(inspect.getdoc(attribute))


def _signature(name: str, value: object) -> str:
    if isinstance(value, property) or type(value).__name__ == "cached_property":
        return ""
    if isinstance(value, classmethod | staticmethod):
        value = value.__func__
    if inspect.isclass(value) and (issubclass(value, Exception) or _is_made_elsewhere(value)):
        return ""
    signature = inspect.signature(value)
    given = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in given]
    text = ", ".join(map(str, plain))
    if any(p.kind is p.KEYWORD_ONLY for p in plain):
        first = next(str(p) for p in plain if p.kind is p.KEYWORD_ONLY)
        text = text.replace(first, f"*, {first}", 1)
    if len(name) + len(text) > 85:
        text = "\n    " + text.replace(", ", ",\n    ") + ",\n"
    text = re.sub(r"<function (\w+) at \w+>", r"\1", f"{name}({text})")
    return f"```python\n{text}\n```\n"


def _is_made_elsewhere(value: type) -> bool:
    """Return whether people are given such values and do not make them."""
    return value.__name__ in ("Classifier", "Features", "Head", "FeatureCache")


def _text(value: object) -> str:
    """Return a docstring as Markdown: its examples as code, each parameter an item of a list."""
    lines, example = [], False
    for line in (inspect.getdoc(value) or "").splitlines():
        if line.startswith(">>>") and not example:
            lines.append("```pycon")
            example = True
        elif example and not line.strip():
            lines.append("```")
            example = False
        elif not example:
            line = re.sub(r"^( *)(\w+(?:, \w+)*): (?=\S)", _item, line)
        lines.append(line)
    if example:
        lines.append("```")
    return "\n".join(lines) + "\n"


def _item(match: re.Match[str]) -> str:
    names = [f"`{name}`" for name in match[2].split(", ")]
    return f"- {', '.join(names)}: "


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8", newline="\n")
