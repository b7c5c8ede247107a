"""A user's own cache.py, engine.py or random.py in the current folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import engine

HOME = Path(engine.__file__).parents[1]

# As the console script does: nothing of the current folder is on its path.
CONSOLE = "import sys; sys.path[0] = {home!r}; from onceover.__main__ import main; sys.exit(main())"


def run(folder, *command):
    # As it is where the product is installed: found from everywhere, but after the own folder.
    models = str(folder / "models")
    environment = {**os.environ, "PYTHONPATH": str(HOME), "ONCEOVER_MODELS": models}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.fixture
def hostile(tmp_path):
    for name in ("cache", "engine", "onceover", "random", "json", "typing", "logging"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user was run')\n")
    return tmp_path


def test_the_console_script_and_its_children_do_not_see_them(hostile, pictures, tiny_backbone):
    done = run(
        hostile, "-c", CONSOLE.format(home=str(HOME)), "extract", str(pictures),
        "--cache", "features", "--backbone", str(tiny_backbone), "--preprocessing", "none",
        "--weights", "own",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "is exported to ONNX" in done.stderr
    assert "24 computed" in done.stdout


def test_python_m_says_which_file_hides_ours(tmp_path):
    (tmp_path / "cache.py").write_text("raise SystemExit('a file of the user was run')\n")
    done = run(tmp_path, "-m", "engine.extract", "--help")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(str(tmp_path / "cache.py"))
    assert "hides the package `cache` of Onceover; run `onceover ...`" in line
    imported = run(tmp_path, "-c", "import engine")
    assert "ImportError" in imported.stderr


def test_python_m_works_beside_other_files_of_the_user(tmp_path):
    (tmp_path / "mine.py").write_text("")
    assert run(tmp_path, "-m", "engine.extract", "--help").returncode == 0
