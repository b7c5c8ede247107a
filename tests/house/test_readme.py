"""Each block of use on the front page runs as it stands; those of set-up run in the workflow."""

import re
import subprocess

import pytest
from conftest import write_pictures, write_tiny_backbone
from readme_blocks import README, ROOT, blocks, environment, runnable, set_up

TEXT = README.read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_block_of_use_runs_in_turn(tmp_path):
    """One after another in one folder, as a reader types them."""
    folder = tmp_path / "reader"
    folder.mkdir()
    pictures = write_pictures(tmp_path / "pictures", 30)
    (pictures / "spots" / "damaged.jpg").write_bytes(b"")
    backbone = write_tiny_backbone(tmp_path / "tiny.onnx")
    used = [block for block in blocks(TEXT) if block.is_use]
    assert used
    for block in used:
        for command in block.commands:
            done = subprocess.run(
                runnable(command, folder, pictures, backbone),
                cwd=folder, env=environment(tmp_path), stdin=subprocess.DEVNULL,
                capture_output=True, encoding="utf-8",
            )  # fmt: skip
            # A damaged picture among those to classify is an answer, and exit code 1.
            damaged = re.fullmatch(r".*error: the file is empty.*", done.stdout, re.DOTALL)
            assert done.returncode == (1 if damaged else 0), f"{command}\n{done.stderr}"


def test_the_workflow_runs_the_set_up():
    assert "pip install uv" in set_up(TEXT)
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert "python tests/readme_blocks.py" in workflow


def test_blocks_are_told_apart():
    page = (
        "```sh\npip install uv\nuv run python -m engine.demo  # a minute\n```\n"
        "```sh\nonceover extract a.zip \\\n  --cache pets\n```\n```text\nno command\n```\n"
        "```console\n$ python -m cache info pets\n1 space\n```\n"
    )
    first, second, third = blocks(page)
    assert (first.is_use, second.is_use, third.is_use) == (False, True, True)
    assert second.commands == ["onceover extract a.zip    --cache pets"]
    assert (third.commands, third.output) == (["python -m cache info pets"], "1 space")
    assert set_up(page) == ["pip install uv", "uv run python -m engine.demo"]
