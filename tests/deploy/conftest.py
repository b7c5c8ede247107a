"""Node, its packages and Chromium, where they are here; a classifier to run by them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from trained_samples import train

from engine.export import main as export
from engine.predict import main as predict

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def node_modules():
    """Where npm put the packages of package.json beside this file, by itself or as it is told."""
    folder = Path(os.environ.get("ONCEOVER_NODE_MODULES") or HERE / "node_modules")
    if shutil.which("node") is None:
        pytest.skip("Node is not here")
    if not (folder / "onnxruntime-web").is_dir():
        pytest.skip(f"npm's packages are not here: npm install --ignore-scripts in {HERE}")
    return folder


@pytest.fixture(scope="session")
def run_node(node_modules):
    """Run a script with arguments in a folder; return what it prints."""

    def run(script, *arguments, folder=HERE):
        browser = shutil.which("chromium") or shutil.which("google-chrome") or ""
        environment = {
            **os.environ,
            "ONCEOVER_NODE_MODULES": str(node_modules),
            "ONCEOVER_CHROMIUM": browser,
        }
        done = subprocess.run(
            [shutil.which("node"), str(script), *map(str, arguments)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def chromium():
    if sys.platform != "linux" or not (shutil.which("chromium") or shutil.which("google-chrome")):
        pytest.skip("Chromium is not here")


@pytest.fixture(scope="session")
def deployed(tmp_path_factory, tiny_backbone):
    """A folder with `pets.onnx`, `pets.json` and `cat.jpg`, as docs/deploy.md has them."""
    folder = tmp_path_factory.mktemp("deployed")
    trained = train(folder, tiny_backbone)
    shutil.copy(next(trained.pictures.rglob("*.jpg")), folder / "cat.jpg")
    (folder / "head").symlink_to(trained.head)
    return folder


@pytest.fixture(scope="session")
def answers():
    """Return what `predict` says of pictures: the probabilities by name, for each file's name."""

    def of(head, *pictures):
        import contextlib
        import io

        text = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with contextlib.redirect_stdout(text):
            predict([*map(str, pictures), "--head", str(head), "--json", "--quiet"])
        text.seek(0)
        return {
            Path(entry["path"]).name: entry["probabilities"] for entry in json.loads(text.read())
        }

    return of


@pytest.fixture(scope="session")
def exported(deployed):
    """Write `pets.onnx` and `pets.json`."""
    import contextlib
    import io

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = export(
            ["--head", str(deployed / "head"), "--out", str(deployed / "pets.onnx"), "--json"]
        )
    assert code == 0
    (deployed / "pets.json").write_text(text.getvalue())
    return deployed
