"""The page that classifies dropped pictures, in Chromium from file://."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from server_samples import serving

from engine.export import main
from engine.extract import main as extract
from engine.fit_head import main as fit_head
from engine.pages import classifier

SCRIPT = Path(__file__).with_name("drop.mjs")


@pytest.fixture(scope="session")
def pictures(deployed):
    """Pictures of several kinds: turned, grey, transparent, of many pixels, of one."""
    folder = deployed / "several"
    folder.mkdir()
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8))
    smooth = coarse.resize((55, 41), Image.Resampling.BICUBIC)
    smooth.save(folder / "plain.png")
    smooth.save(folder / "plain.jpg", quality=90)
    exif = Image.Exif()
    exif[0x0112] = 6
    smooth.save(folder / "turned.jpg", exif=exif)
    smooth.convert("L").save(folder / "grey.png")
    smooth.resize((20, 9)).save(folder / "small.webp", lossless=True)
    coarse.resize((1, 1)).save(folder / "one.png")
    glass = smooth.copy()
    glass.putalpha(Image.linear_gradient("L").resize(smooth.size))
    glass.save(folder / "glass.png")
    coarse.resize((600, 500), Image.Resampling.BICUBIC).save(folder / "large.jpg", quality=90)
    return sorted(folder.iterdir())


def dropped(run_node, *words):
    return json.loads(run_node(SCRIPT, *words))


def agrees(found, expected, tolerance=1e-3):
    probabilities = list(expected.values())
    assert found["label"] == max(expected, key=expected.get)
    assert found["probabilities"] == pytest.approx(probabilities, abs=tolerance)


@pytest.mark.slow
@pytest.mark.usefixtures("chromium")
def test_the_page_says_what_predict_says(
    deployed, pictures, answers, run_node, node_modules, tmp_path
):
    page = tmp_path / "pets.html"
    options = ["--out", str(tmp_path / "pets.onnx"), "--page", str(page)]
    options += ["--runtime", str(node_modules / "onnxruntime-web"), "--quiet"]
    assert main(["--head", str(deployed / "head"), *options]) == 0
    assert page.stat().st_size < 8e6
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    result = dropped(run_node, page, "--width", 375, *pictures, broken)
    assert result["errors"] == []
    assert result["requests"] == []
    assert result["sideways"] <= 0
    expected = answers(deployed / "head", *pictures)
    for name, probabilities in expected.items():
        agrees(result["answers"][name], probabilities)
    assert result["answers"]["broken.jpg"]["probabilities"] is None


@pytest.mark.slow
@pytest.mark.usefixtures("chromium")
@pytest.mark.parametrize(
    "framing",
    [["--crop", "center"], ["--interpolation", "bicubic"], ["--interpolation", "nearest"]],
)
def test_the_page_frames_pictures_as_the_features_were(
    deployed, pictures, answers, run_node, node_modules, tiny_backbone, tmp_path, framing
):
    cache = tmp_path / "cache"
    options = ["--backbone", str(tiny_backbone), "--preprocessing", "caffe", "--precision", "fp32"]
    source = str(deployed / "pictures")
    assert extract([source, "--cache", str(cache), *options, *framing, "--quiet"]) == 0
    assert fit_head(["--cache", str(cache), "--no-report", "--quiet"]) == 0
    (head,) = (cache / "heads").iterdir()
    page = tmp_path / "pets.html"
    options = ["--out", str(tmp_path / "pets.onnx"), "--page", str(page)]
    options += ["--runtime", str(node_modules / "onnxruntime-web"), "--quiet"]
    assert main(["--head", str(head), *options]) == 0
    result = dropped(run_node, page, *pictures)
    for name, probabilities in answers(head, *pictures).items():
        agrees(result["answers"][name], probabilities)


@pytest.mark.slow
@pytest.mark.usefixtures("chromium")
def test_a_large_model_stays_beside_its_page(
    deployed, pictures, answers, run_node, node_modules, tmp_path, monkeypatch
):
    monkeypatch.setattr(classifier, "MOST_INSIDE", 10)
    page, model = tmp_path / "pets.html", tmp_path / "pets.onnx"
    options = ["--out", str(model), "--page", str(page), "--quiet"]
    options += ["--runtime", str(node_modules / "onnxruntime-web")]
    assert main(["--head", str(deployed / "head"), *options]) == 0
    picture = pictures[0]
    result = dropped(run_node, page, "--model", model, picture)
    expected = answers(deployed / "head", picture)[picture.name]
    agrees(result["answers"][picture.name], expected)
    assert result["errors"] == []
    with serving(tmp_path) as address:  # where it loads its model by itself
        served = dropped(run_node, f"{address}/pets.html", picture)
    agrees(served["answers"][picture.name], expected)
    assert [url.rpartition("/")[2] for url in served["requests"]] == ["pets.onnx"]


def test_a_page_without_its_runtime_is_a_line_on_how_to_get_it(
    deployed, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    options = ["--head", str(deployed / "head"), "--out", "pets.onnx", "--page", "pets.html"]
    assert main(options) == 1
    assert "npm install onnxruntime-web" in capsys.readouterr().err
    assert not (tmp_path / "pets.onnx").exists()


def test_a_page_replaces_nothing_but_a_page(deployed, tmp_path, capsys):
    runtime = tmp_path / "runtime"
    (runtime / "dist").mkdir(parents=True)
    (runtime / "package.json").write_text('{"name": "onnxruntime-web", "version": "1.2.3"}')
    for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"):
        (runtime / "dist" / name).write_bytes(b"x")
    page = tmp_path / "pets.html"
    options = ["--head", str(deployed / "head"), "--out", str(tmp_path / "pets.onnx"), "--quiet"]
    options += ["--page", str(page), "--runtime", str(runtime)]
    page.write_text("my own page")
    assert main(options) == 1
    assert "is no page of ours" in capsys.readouterr().err
    assert page.read_text() == "my own page"
    page.unlink()
    assert main(options) == 0
    assert "1.2.3" in page.read_text()
    assert main(options) == 0  # its own is replaced
    shutil.rmtree(runtime)


def test_hostile_class_names_stay_text(tmp_path):
    names = ["</script><script>alert(1)</script>", "a & b", "<img src=x onerror=alert(1)>"]
    record = {
        "classes": names,
        "height": 32,
        "width": 32,
        "interpolation": "bilinear",
        **dict.fromkeys(("backbone", "layer", "precision", "space"), names[0]),
    }
    runtime = classifier.WebRuntime(b"x", b"y", names[2])
    model = tmp_path / "model.onnx"
    model.write_bytes(b"model")
    page = classifier.classifier_page(record, model, runtime)
    assert "alert(1)</script>" not in page
    assert "<img src=x" not in page
    text = page.split('id="classes">')[1].split("</script>")[0]
    assert json.loads(text) == names


@pytest.mark.parametrize("option", ["--page", "--runtime"])
def test_a_backbone_has_no_page(tmp_path, capsys, option):
    assert main(["--out", str(tmp_path / "x.onnx"), option, "x"]) == 2
    assert "give --head too" in capsys.readouterr().err
