"""Write docs/odd_models.md out of the tables of odd models that the tests make.

python tests/odd_models_page.py
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from odd_keras import ODD_KERAS
from odd_model import OddModel
from odd_onnx import ODD_ONNX

PAGE = Path(__file__).parents[1] / "docs" / "odd_models.md"

_HEAD = """\
# Odd models

<!-- Written by `python tests/odd_models_page.py` out of tests/odd_onnx.py and
tests/odd_keras.py. Change those. -->

What people bring is seldom a plain network. Each of these is made by a test
(`tests/exporters/test_odd_models.py`) and either exports with the features that its own runtime
gives, or is refused in one line that says what to do. The largest difference, over the largest
value, is at most 0.0001 (float16: 0.003).
"""


def page() -> str:
    """Return the page."""
    parts = [_HEAD, "## ONNX files\n", _table(ODD_ONNX), "## Keras files\n", _table(ODD_KERAS)]
    return "\n".join(parts)


def _table(odd: Iterable[OddModel]) -> str:
    lines = ["| model | what is odd | options | what becomes of it |", "|---|---|---|---|"]
    for each in odd:
        options = f"`{each.options}`" if each.options else ""
        lines.append(f"| {each.name} | {each.what} | {options} | {_outcome(each)} |")
    return "\n".join(lines) + "\n"


def _outcome(odd: OddModel) -> str:
    if odd.said is not None:
        return f"refused: “... {odd.said} ...”"
    return "its own features" + (f"; it says “... {odd.remark} ...”" if odd.remark else "")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"written: {PAGE}\n")
