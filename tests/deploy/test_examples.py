"""The examples of docs/deploy.md, as they are printed there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from server_samples import serving

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"

# What another way to resize changes in a probability of the tiny backbone's head.
RESIZE = 0.02


def block(language):
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return text


def told(text):
    return {name: float(value) for name, value in (line.split("\t") for line in text.splitlines())}


def check(text, expected, tolerance):
    found = told(text.strip())
    assert found.keys() == expected.keys()
    for name, probability in expected.items():
        assert found[name] == pytest.approx(probability, abs=tolerance)


def test_python(exported, answers):
    (exported / "classify.py").write_text(block("python"))
    done = subprocess.run(
        [sys.executable, "-I", "classify.py"],
        cwd=exported,
        capture_output=True,
        text=True,
        check=True,
    )
    check(done.stdout, answers(exported / "head", exported / "cat.jpg")["cat.jpg"], RESIZE)


@pytest.mark.slow
def test_node(exported, answers, run_node, node_modules):
    if not (exported / "node_modules").exists():
        (exported / "node_modules").symlink_to(node_modules.resolve())
    (exported / "classify.mjs").write_text(block("js"))
    text = run_node("classify.mjs", folder=exported)
    check(text, answers(exported / "head", exported / "cat.jpg")["cat.jpg"], RESIZE)


@pytest.mark.slow
@pytest.mark.usefixtures("chromium")
def test_browser(exported, answers, run_node, node_modules):
    (exported / "index.html").write_text(block("html"))
    for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"):
        shutil.copy(node_modules / "onnxruntime-web" / "dist" / name, exported / name)
    with serving(exported) as address:
        script = Path(__file__).with_name("own_page.mjs")
        text = run_node(script, f"{address}/index.html", exported / "cat.jpg")
    check(text, answers(exported / "head", exported / "cat.jpg")["cat.jpg"], RESIZE)
