"""An export is written over nothing that an export did not write."""

import os

import pytest
from conftest import write_tiny_backbone

from engine.export import main


@pytest.fixture
def network(tmp_path):
    return write_tiny_backbone(tmp_path / "network.onnx")


def export(network, out, *more):
    options = ["--backbone", str(network), "--preprocessing", "none", "--out", str(out), "--quiet"]
    return main([*options, *more])


def test_an_export_may_be_made_again(network, tmp_path):
    assert export(network, tmp_path / "out.onnx") == 0
    first = (tmp_path / "out.onnx").read_bytes()
    assert export(network, tmp_path / "out.onnx") == 0
    assert (tmp_path / "out.onnx").read_bytes() == first


@pytest.mark.parametrize("more", [[], ["--force"]])
def test_an_input_is_never_written_over(network, tmp_path, capsys, more):
    before = network.read_bytes()
    link = tmp_path / "link.onnx"
    os.link(network, link)
    for out in (network, tmp_path / "." / "network.onnx", link):
        assert export(network, out, *more) == 2
        assert "is what is to be exported; give another file" in capsys.readouterr().err
    assert network.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"my thesis", None])
def test_another_file_is_replaced_by_force_alone(network, tmp_path, capsys, content):
    out = tmp_path / "out.onnx"
    if content is None:
        write_tiny_backbone(out, seed=5)
    else:
        out.write_bytes(content)
    before = out.read_bytes()
    assert export(network, out) == 1
    assert "was not written by an export" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert export(network, out, "--force") == 0
    assert out.read_bytes() != before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_pipe_is_not_waited_for(network, tmp_path, capsys):
    os.mkfifo(tmp_path / "out.onnx")
    assert export(network, tmp_path / "out.onnx") == 1
    assert "was not written by an export" in capsys.readouterr().err


def test_a_folder_is_no_file(network, tmp_path, capsys):
    assert export(network, tmp_path) == 2
    assert "is a folder" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--head", "--calibrate", "--cache"])
def test_nothing_in_a_folder_that_is_read_is_written_over(network, tmp_path, capsys, option):
    folder = tmp_path / "read"
    (folder / "cats").mkdir(parents=True)
    mine = folder / "cats" / "1.jpg"
    mine.write_bytes(b"a picture")
    (tmp_path / "link").symlink_to(folder)
    for out in (mine, tmp_path / "link" / "cats" / "1.jpg"):
        precision = ["--precision", "int8"] if option == "--calibrate" else []
        assert export(network, out, option, str(folder), *precision, "--force") == 2
        assert "which is read; give another file to write" in capsys.readouterr().err
    assert mine.read_bytes() == b"a picture"
