"""Each block of docs/python.md runs, and docs/api.md and the notebook have not fallen behind."""

import json
import re
from pathlib import Path

import api_docs
import pytest
from conftest import write_pictures, write_tiny_backbone

from engine.backbones.request import backbone_request
from engine.estimators import cached_backbone

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
NOTEBOOK = json.loads((ROOT / "docs" / "tour.ipynb").read_text(encoding="utf-8"))


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """A reader's folder with photos, where mobilenet_v2 is a small network without a download."""
    write_pictures(tmp_path / "photos", 40)
    tiny = backbone_request(str(write_tiny_backbone(tmp_path / "tiny.onnx")), "own", None, "tf")
    monkeypatch.setattr(cached_backbone, "backbone_request", lambda *_, **__: tiny)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(blocks):
    names = {}
    for block in blocks:
        code = compile(block, "<page>", "exec")
        try:
            exec(code, names)
        except ModuleNotFoundError as error:
            if error.name != "torch":  # from the registry it brings a gigabyte
                raise


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("reader")
def test_each_block_of_the_page_runs(capsys):
    # Other processes would not see the small network.
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) > 8
    run(block.replace("n_jobs=2", "n_jobs=1") for block in blocks)
    out = capsys.readouterr().out
    assert "(80, 24) float32" in out
    assert "no such file.jpg" in out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("reader")
def test_the_notebook_runs(capsys):
    cells = ["".join(c["source"]) for c in NOTEBOOK["cells"] if c["cell_type"] == "code"]
    assert cells
    run(cells)
    assert "80/80" in capsys.readouterr().err  # its bar


def test_the_api_page_is_what_the_docstrings_say():
    assert api_docs.PATH.read_text(encoding="utf-8") == api_docs.document()
