"""Spaces of users' files are shown by the names of those files, wherever spaces are listed."""

import json

import pytest
from conftest import write_pictures, write_tiny_backbone

from cache.__main__ import main as cache_main
from cache.store import FeatureCache
from engine.extract import main as extract
from engine.fit_head import main as fit_head
from engine.heads.head import load_head
from engine.predict import main as predict


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A cache with features of two files whose outputs have one name, and their names."""
    folder = tmp_path_factory.mktemp("two")
    pictures = write_pictures(folder / "pictures", 12)
    for seed, name in enumerate(("first.onnx", "second.onnx")):
        backbone = write_tiny_backbone(folder / name, seed=seed)
        options = ["--backbone", str(backbone), "--preprocessing", "tf", "--quiet"]
        assert extract([str(pictures), "--cache", str(folder / "cache"), *options]) == 0
    return folder


def titles(folder):
    return [space.title for space in FeatureCache.open(folder / "cache").spaces()]


def test_each_space_is_shown_by_its_file(two, capsys):
    wanted = [f"{name} pooled fp32 bilinear" for name in ("first.onnx", "second.onnx")]
    assert sorted(titles(two)) == wanted
    assert cache_main(["info", str(two / "cache")]) == 0
    out = capsys.readouterr().out
    assert "first.onnx pooled fp32 bilinear" in out
    assert "second.onnx pooled fp32 bilinear" in out


def test_the_error_that_lists_them_tells_them_apart(two, capsys):
    assert fit_head(["--cache", str(two / "cache"), "--quiet"]) != 0
    err = capsys.readouterr().err
    assert "first.onnx pooled" in err
    assert "second.onnx pooled" in err


def test_a_head_and_its_page_say_the_file(two, capsys, monkeypatch):
    space = next(s for s in FeatureCache.open(two / "cache").spaces() if "first" in s.title)
    options = ["--cache", str(two / "cache"), "--space", space.id, "--json", "--quiet"]
    assert fit_head(options) == 0
    out = json.loads(capsys.readouterr().out)["out"]
    assert "first-onnx_" in out.rsplit("/", 1)[-1]
    page = (two / "cache" / "heads" / out.rsplit("/", 1)[-1] / "report.html").read_text("utf-8")
    assert "first.onnx pooled fp32 bilinear" in page
    assert load_head(out).notes["title"] == {"backbone": "first.onnx"}
    monkeypatch.setenv("ONCEOVER_MODELS", str(two / "no-models"))
    assert predict([str(two / "pictures" / "spots" / "0.jpg"), "--head", out]) == 1
    assert "the head's backbone (first.onnx at pooled" in capsys.readouterr().err


def test_the_name_is_no_part_of_the_space(two, capsys):
    renamed = write_tiny_backbone(two / "renamed.onnx", seed=0)
    options = ["--backbone", str(renamed), "--preprocessing", "tf", "--quiet", "--json"]
    assert extract([str(two / "pictures"), "--cache", str(two / "cache"), *options]) == 0
    assert json.loads(capsys.readouterr().out)["hits"] == 24
    assert len(titles(two)) == 2
