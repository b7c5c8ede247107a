"""A head exported at another precision, with what that changes in its answers."""

import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import write_pictures
from onnx import numpy_helper
from trained_samples import train

from cache.store import FeatureCache
from engine.backbones.model import METADATA_KEY
from engine.export import main
from engine.extract import main as extract
from engine.fit_head import main as fit_head
from engine.images.decode import decode
from engine.predict import main as predict


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_backbone):
    return train(tmp_path_factory.mktemp("trained"), tiny_backbone)


@pytest.fixture(scope="module")
def int8_head(trained, tiny_backbone):
    """A head on int8 features of the same pictures, in a cache of its own."""
    cache = trained.cache.parent / "int8"
    options = ["--backbone", str(tiny_backbone), "--preprocessing", "caffe", "--precision", "int8"]
    assert extract([str(trained.pictures), "--cache", str(cache), *options, "--quiet"]) == 0
    assert fit_head(["--cache", str(cache), "--no-report", "--quiet"]) == 0
    (head,) = (cache / "heads").iterdir()
    return head


def exported(capsys, *options):
    code = main([*map(str, options), "--json"])
    output = capsys.readouterr()
    return code, json.loads(output.out) if code == 0 else None, output.err


def recorded(path):
    model = onnx.load(path)
    (entry,) = [entry for entry in model.metadata_props if entry.key == METADATA_KEY]
    return model, json.loads(entry.value)


def answers(path, pictures):
    pixels = [decode(picture.read_bytes(), (32, 32), "bilinear") for picture in pictures]
    session = onnxruntime.InferenceSession(path)
    return session.run(["probabilities"], {"images": np.stack(pixels)})[0]


def test_a_head_on_fp32_features_goes_out_as_int8(trained, tmp_path, capsys):
    fp32, int8 = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    assert exported(capsys, "--head", trained.head, "--out", fp32)[1]["change"] is None
    code, result, _ = exported(capsys, "--head", trained.head, "--out", int8, "--precision", "int8")
    assert code == 0
    assert result["precision"] == "int8"
    assert result["head_precision"] == "fp32"
    onnx.checker.check_model(int8, full_check=True)
    model, record = recorded(int8)
    assert "QuantizeLinear" in {node.op_type for node in model.graph.node}
    assert model.producer_name == "onceover"
    assert model.producer_version
    change = result["change"]
    assert record["change"] == change
    metrics = json.loads((trained.head / "metrics.json").read_text())
    assert (change["before"], change["after"]) == ("fp32", "int8")
    assert change["images"] == change["labelled"] == metrics["split"]["test"]
    assert change["accuracy_before"] == pytest.approx(metrics["test"]["accuracy"])
    rows = (trained.head / "predictions.csv").read_text().splitlines()[1:]
    tested = [row.split(",")[0] for row in rows if row.split(",")[1] == "test"]
    pictures = [trained.pictures / path for path in tested]
    one, other = answers(fp32, pictures), answers(int8, pictures)
    assert np.abs(one - other).max() == pytest.approx(change["largest"], abs=1e-5)
    assert change["largest"] > 0
    assert change["agreement"] == (one.argmax(1) == other.argmax(1)).mean()


def test_a_head_on_int8_features_goes_out_as_fp32_and_says_so_in_words(
    int8_head, trained, tmp_path, capsys
):
    out = tmp_path / "fp32.onnx"
    options = ["--head", str(int8_head), "--out", str(out), "--precision", "fp32"]
    assert main(options) == 0
    text = capsys.readouterr().out
    assert "fp32 instead of int8, on 9 images of the head's test side: accuracy 1.0000" in text
    model, record = recorded(out)
    assert "QuantizeLinear" not in {node.op_type for node in model.graph.node}
    assert (record["precision"], record["head_precision"]) == ("fp32", "int8")
    assert record["quantization"] is None
    one = trained.pictures / next(iter(FeatureCache.open(trained.cache).space().rows())).path
    assert answers(out, [one]).shape == (1, 2)


def test_an_int8_model_of_the_heads_cache_is_taken(
    int8_head, tiny_backbone, trained, tmp_path, capsys
):
    """Of the features of both precisions in one cache, the model is there already."""
    cache = tmp_path / "both"
    shutil.copytree(int8_head.parents[1], cache)
    shutil.rmtree(cache / "heads")
    options = ["--backbone", str(tiny_backbone), "--preprocessing", "caffe", "--precision", "fp32"]
    assert extract([str(trained.pictures), "--cache", str(cache), *options, "--quiet"]) == 0
    spaces = FeatureCache.open(cache).spaces()
    space = next(s for s in spaces if s.description["precision"] == "fp32")
    int8 = next(s for s in spaces if s.description["precision"] == "int8")
    assert fit_head(["--cache", str(cache), "--space", space.id, "--no-report", "--quiet"]) == 0
    capsys.readouterr()
    (head,) = (cache / "heads").iterdir()
    out = tmp_path / "int8.onnx"
    code, result, messages = exported(capsys, "--head", head, "--out", out, "--precision", "int8")
    assert code == 0
    assert "calibrating" not in messages
    assert result["quantization"] == int8.description["quantization"]


def test_a_source_of_the_users_calibrates_and_measures(trained, tmp_path, capsys):
    others = write_pictures(tmp_path / "others", 20)
    code, result, _ = exported(
        capsys,
        *("--head", trained.head, "--out", tmp_path / "x.onnx"),
        *("--precision", "int8", "--calibrate", others),
    )
    assert code == 0
    assert result["change"]["images_of"] == str(others)
    assert result["change"]["images"] == 20  # of 40: the others calibrate
    # Without labels there is no accuracy, but there is agreement.
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, picture in enumerate(sorted(others.rglob("*.jpg"))):
        shutil.copy(picture, flat / f"{number}.jpg")
    code, result, _ = exported(
        capsys,
        *("--head", trained.head, "--out", tmp_path / "y.onnx"),
        *("--precision", "int8", "--calibrate", flat),
    )
    assert code == 0
    assert result["change"]["accuracy_after"] is None
    assert result["change"]["agreement"] > 0.5


def ranges(path):
    """Return the ranges of an int8 model by name: they are those of its calibration images."""
    model = onnx.load(path)
    arrays = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    return sorted(float(arrays[node.input[1]]) for node in nodes)


@pytest.mark.parametrize("framing", [["--crop", "center"], ["--interpolation", "nearest"]])
def test_images_calibrate_as_they_are_framed_for_features(
    trained, tiny_backbone, tmp_path, capsys, framing
):
    backbone = ["--backbone", tiny_backbone, "--preprocessing", "caffe", "--precision", "int8"]
    calibrate = ["--calibrate", trained.pictures]
    code, *_ = exported(capsys, "--out", tmp_path / "a.onnx", *backbone, *calibrate, *framing)
    assert code == 0
    cache = tmp_path / "cache"
    options = map(str, [*backbone, *framing, "--quiet"])
    assert extract([str(trained.pictures), "--cache", str(cache), *options]) == 0
    capsys.readouterr()
    space = FeatureCache.open(cache).space()
    own = ranges(space.path / "model.onnx")
    assert ranges(tmp_path / "a.onnx") == own
    code, *_ = exported(capsys, "--out", tmp_path / "b.onnx", *backbone, *calibrate)
    assert code == 0
    assert ranges(tmp_path / "b.onnx") != own


@pytest.mark.parametrize("option", [["--crop", "center"], ["--interpolation", "nearest"]])
def test_a_framing_that_nothing_is_framed_by_is_a_usage_error(trained, tmp_path, capsys, option):
    out = ["--out", str(tmp_path / "x.onnx")]
    assert main([*out, *option, "--weights", "random:0"]) == 2
    assert "how the pictures of --calibrate are framed" in capsys.readouterr().err
    assert main([*out, *option, "--head", str(trained.head)]) == 2
    assert "a head says how its pictures are framed" in capsys.readouterr().err


def test_where_no_images_are_at_hand_it_is_said_in_a_line(int8_head, trained, tmp_path, capsys):
    moved = trained.pictures.with_name("moved")
    trained.pictures.rename(moved)
    try:
        out = tmp_path / "x.onnx"
        code, result, messages = exported(
            capsys, "--head", int8_head, "--out", out, "--precision", "fp32"
        )
        assert code == 0
        assert result["change"] is None
        assert "was not measured: the images that it was tested on are not at hand" in messages
        code, _, messages = exported(
            capsys, "--head", trained.head, "--out", out, "--precision", "int8"
        )
        assert code == 1
        assert "int8 is made by images, and those that the head was trained on are not" in messages
    finally:
        moved.rename(trained.pictures)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--precision", "auto"], "choose fp32, int8 or fast"),
        (["--calibrate", "pictures"], "images are wanted for another precision alone"),
        (["--precision", "fp32", "--calibrate", "x"], "images are wanted for another precision"),
    ],
)
def test_options_of_a_head_that_do_not_fit_are_a_usage_error(
    trained, tmp_path, capsys, options, message
):
    code, _, messages = exported(
        capsys, "--head", trained.head, "--out", tmp_path / "x.onnx", *options
    )
    assert code == 2
    assert message in messages


def test_no_fp32_form_is_a_line_on_how_to_name_it(int8_head, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ONCEOVER_MODELS", str(tmp_path / "empty"))
    code, _, messages = exported(
        capsys, "--head", int8_head, "--out", tmp_path / "x.onnx", "--precision", "fp32"
    )
    assert code == 1
    assert "say where its file is: backbone FILE.onnx" in messages


def test_a_head_outside_its_cache_finds_its_int8_model(int8_head, trained, tmp_path, capsys):
    elsewhere = tmp_path / "far" / "away"
    shutil.copytree(int8_head, elsewhere)
    picture = next(trained.pictures.rglob("*.jpg"))
    assert predict([str(picture), "--head", str(elsewhere), "--quiet"]) == 0
    capsys.readouterr()
    assert exported(capsys, "--head", elsewhere, "--out", tmp_path / "x.onnx")[0] == 0


def test_a_head_on_a_table_of_odd_columns_finds_its_images_again(
    trained, tiny_backbone, tmp_path, capsys
):
    table, cache = tmp_path / "odd.csv", tmp_path / "cache"
    names = [path.relative_to(trained.pictures) for path in trained.pictures.rglob("*.jpg")]
    lines = [f"{n},{path.as_posix()},{path.parent.name}" for n, path in enumerate(names)]
    table.write_text("\n".join(["Nummer,Foto,Tierart", *lines]) + "\n")
    columns = ["--path-column", "Foto", "--label-column", "Tierart", "--base", trained.pictures]
    backbone = ["--backbone", tiny_backbone, "--preprocessing", "caffe", "--precision", "fp32"]
    options = map(str, ["--cache", cache, *columns, *backbone, "--quiet"])
    assert extract([str(table), *options]) == 0
    assert fit_head(["--cache", str(cache), "--no-report", "--quiet"]) == 0
    (head,) = (cache / "heads").iterdir()
    out = tmp_path / "x.onnx"
    capsys.readouterr()
    code, result, _ = exported(capsys, "--head", head, "--out", out, "--precision", "int8")
    assert (code, result["change"]["images_of"]) == (0, "the head's test side")
