"""An exported fp32 file -> an int8 file and its parity; python -m engine.precision."""

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

import engine.precision.comparison
import engine.precision.handover
import engine.precision.worker
from cache.failures import Failure
from engine.backbones.model import METADATA_KEY
from engine.graphs.model_file import Digests, data_file, digests
from engine.graphs.session import session
from engine.precision.__main__ import main
from engine.precision.handover import (
    Quantized,
    features_file,
    make_model,
    quantize_in_child,
    read_features,
    read_pixels,
)
from engine.precision.worker import quantize_file


def test_the_file_says_what_it_is(fp32, pixels, tmp_path, monkeypatch):
    monkeypatch.setattr(engine.precision.comparison, "is_clear", lambda _: False)
    out = tmp_path / "int8.onnx"
    before = digests(fp32.path)
    found = quantize_file(fp32.path, pixels, out)
    assert digests(fp32.path) == before == fp32.digests
    assert found.digests == digests(out)
    assert found.calibrated_on == 16
    assert found.parity.images == 20
    assert found.parity.cosine_min > 0.99
    assert found.parity.head is not None
    assert found.parity.head.images == 20
    # Small as they are, its integers lie in its graph.
    assert out.stat().st_size < data_file(fp32.path).stat().st_size
    model = onnx.load(out)
    onnx.checker.check_model(model, full_check=True)
    old, new = (
        json.loads({e.key: e.value for e in m.metadata_props}[METADATA_KEY])
        for m in (onnx.load(fp32.path), model)
    )
    assert (new["precision"], new["quantization"]) == ("int8", {"levels": found.levels})
    assert {**new, "precision": "fp32", "quantization": None} == {**old, "quantization": None}


@pytest.mark.parametrize("clear_at", [16, 20])
def test_a_comparison_ends_where_it_is_clear(fp32, pixels, tmp_path, monkeypatch, clear_at):
    """What it has run till then is what the networks give, and is what is written."""
    monkeypatch.setattr(engine.precision.comparison, "is_clear", lambda p: p.images == clear_at)
    out = tmp_path / "int8.onnx"
    found = quantize_file(fp32.path, pixels, out).parity
    assert (found.images, found.head.images) == (clear_at, clear_at)
    assert found.fp32_rate > 0
    assert found.rate > 0
    features = read_features(features_file(out))
    for path, got in ((fp32.path, features.fp32), (out, features.other)):
        feeds = {"images": pixels.held_out[:clear_at]}
        np.testing.assert_array_equal(got, session(path).run(["features"], feeds)[0])


def test_parity_is_that_of_images_held_out(fp32, pixels, tmp_path, monkeypatch):
    monkeypatch.setattr(engine.precision.comparison, "is_clear", lambda _: False)
    out = tmp_path / "int8.onnx"
    found = quantize_file(fp32.path, pixels, out).parity
    feeds = {"images": pixels.held_out}
    (wide,) = onnxruntime.InferenceSession(fp32.path).run(None, feeds)
    (narrow,) = onnxruntime.InferenceSession(out).run(None, feeds)
    lengths = np.linalg.norm(wide, axis=1) * np.linalg.norm(narrow, axis=1)
    assert found.cosine_mean == pytest.approx(((wide * narrow).sum(1) / lengths).mean(), abs=1e-6)


def test_the_same_images_give_the_same_bytes(fp32, pixels, tmp_path):
    for name in "12":
        (tmp_path / name).mkdir()
    one = quantize_file(fp32.path, pixels, tmp_path / "1" / "model.onnx")
    other = quantize_in_child(fp32.path, pixels, tmp_path / "2" / "model.onnx")
    assert one.digests == other.digests
    assert sorted(p.name for p in (tmp_path / "2").iterdir()) == [
        *("model.features.npz", "model.onnx", "pixels.npz")
    ]


def test_the_weights_are_those_that_the_cpu_takes(fp32, pixels, tmp_path, monkeypatch):
    monkeypatch.setattr(engine.precision.worker, "weight_levels", lambda: 64)
    found = quantize_file(fp32.path, pixels, tmp_path / "int8.onnx")
    assert found.levels == 64
    weights = [
        onnx.numpy_helper.to_array(constant)
        for constant in onnx.load(tmp_path / "int8.onnx").graph.initializer
        if constant.data_type == onnx.TensorProto.INT8
    ]
    assert max(np.abs(w.astype(int)).max() for w in weights) == 64


def test_the_command_prints_the_payload(fp32, pixels, tmp_path, capsys):
    pixels.write(tmp_path / "pixels.npz")
    out = tmp_path / "int8.onnx"
    arguments = [str(fp32.path), "--pixels", str(tmp_path / "pixels.npz"), "--out", str(out)]
    assert main([*arguments, "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    payload = json.loads(captured.out)
    assert set(payload) == {*("sha256", "levels", "calibrated_on", "seconds", "parity", "summary")}
    assert set(payload["parity"]) == {
        *("images", "cosine_mean", "cosine_p1", "cosine_min", "relative_error", "head"),
        *("fp32_rate", "rate", "gain"),
    }
    assert set(payload["parity"]["head"]) == {*("images", "agreement", "fp32", "other", "p_value")}
    found = Quantized.of_payload(payload)
    assert found.digests == digests(out)
    assert found.payload() == payload
    two = replace(found, digests=Digests("graph", "data"))
    assert Quantized.of_payload(two.payload()) == two
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("cosine to fp32 1.0000 mean")


def fails(capsys, *arguments):
    """Return the one line of a command that failed."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert (code, captured.out, captured.err.count("\n")) == (1, "", 1)
    return captured.err


def test_wrong_models_are_one_line(fp32, pixels, tmp_path, capsys):
    pixels.write(tmp_path / "pixels.npz")
    rest = ["--pixels", tmp_path / "pixels.npz", "--out", tmp_path / "out.onnx"]
    cut, text, empty = tmp_path / "cut.onnx", tmp_path / "text.json", tmp_path / "empty.onnx"
    cut.write_bytes(fp32.path.read_bytes()[:1000])
    text.write_text("{}")
    empty.touch()
    for path in (cut, text, tmp_path / "nowhere.onnx", tmp_path):
        assert "is not a valid ONNX file" in fails(capsys, path, *rest)
    assert "was not written by python -m engine.export" in fails(capsys, empty, *rest)

    model = onnx.load(fp32.path)
    (record,) = (json.loads(e.value) for e in model.metadata_props if e.key == METADATA_KEY)
    for changes, message in (
        ({"precision": "int8"}, "is int8; only fp32 is made int8"),
        ({"precision": None}, "only fp32 is made int8"),
        ({"preprocessing": ["tf"]}, "was not written by"),
        ({"height": 64}, "the pixels are of size (32, 32, 3)"),
    ):
        onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps({**record, **changes})})
        onnx.save(model, tmp_path / "other.onnx")
        assert message in fails(capsys, tmp_path / "other.onnx", *rest)
    onnx.helper.set_model_props(model, {METADATA_KEY: "[]"})
    onnx.save(model, tmp_path / "other.onnx")
    assert "was not written by" in fails(capsys, tmp_path / "other.onnx", *rest)
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(record)})
    onnx.save(
        model, tmp_path / "other.onnx", save_as_external_data=True, location="w", size_threshold=0
    )
    assert "keeps weights in other files" in fails(capsys, tmp_path / "other.onnx", *rest)
    assert not (tmp_path / "out.onnx").exists()


def test_wrong_pixels_are_one_line(fp32, pixels, tmp_path, capsys):
    path = tmp_path / "pixels.npz"
    arguments = [fp32.path, "--pixels", path, "--out", tmp_path / "out.onnx"]
    assert "nowhere" in fails(capsys, fp32.path, "--pixels", "nowhere", "--out", tmp_path / "o")
    for content in (b"", b"no arrays", b"PK\3\4"):
        path.write_bytes(content)
        assert "holds no pixels to calibrate on" in fails(capsys, *arguments)
    with path.open("wb") as file:
        np.save(file, pixels.calibration)
    assert "it is not a .npz file" in fails(capsys, *arguments)
    np.savez(path, calibration=pixels.calibration)
    assert "held_out" in fails(capsys, *arguments)
    np.savez(path, calibration=np.array([{}]), held_out=pixels.held_out, labels=pixels.labels)
    assert "holds no pixels" in fails(capsys, *arguments)
    whole = pixels.calibration
    for wrong, message in (
        (replace(pixels, calibration=whole.astype(np.float32)), "calibration is float32"),
        (replace(pixels, held_out=whole[0]), "held_out is uint8 (32, 32, 3)"),
        (replace(pixels, calibration=whole[:0]), "calibration is uint8 (0, 32, 32, 3)"),
        (replace(pixels, calibration=whole[..., :2]), "(16, 32, 32, 2), not uint8 (N, H, W, 3)"),
        (replace(pixels, calibration=whole[:, :16]), "the pixels are of size (16, 32, 3)"),
        (replace(pixels, labels=pixels.labels[1:]), "labels are not one whole number for each"),
        (replace(pixels, labels=pixels.labels * 0.5), "labels are not one whole number for each"),
    ):
        wrong.write(path)
        assert message in fails(capsys, *arguments)
    pixels.write(path)
    read = read_pixels(path)
    np.testing.assert_array_equal(read.held_out, pixels.held_out)
    np.testing.assert_array_equal(read.labels, pixels.labels)


def test_a_folder_that_is_not_there_is_one_line(fp32, pixels, tmp_path, capsys):
    pixels.write(tmp_path / "p.npz")
    out = tmp_path / "no" / "out.onnx"
    assert str(out) in fails(capsys, fp32.path, "--pixels", tmp_path / "p.npz", "--out", out)


def test_the_childs_failure_is_its_own_line(pixels, tmp_path):
    (tmp_path / "no.onnx").write_text("no model")
    with pytest.raises(Failure, match=r"no\.onnx is not a valid ONNX file"):
        quantize_in_child(tmp_path / "no.onnx", pixels, tmp_path / "out.onnx")


@pytest.mark.parametrize(
    ("small", "precision", "child"),
    [(2**25, "int8", False), (0, "int8", True), (2**25, "fast", True)],
)
def test_a_small_model_is_made_here_and_a_large_one_in_a_process_of_its_own(
    fp32, pixels, tmp_path, monkeypatch, small, precision, child
):
    calls = []
    monkeypatch.setattr(engine.precision.handover, "_SMALL", small)
    monkeypatch.setattr(engine.precision.handover, "quantize_in_child", lambda *a: calls.append(a))
    made = make_model(fp32.path, pixels, tmp_path / "int8.onnx", precision)
    assert bool(calls) == child
    assert (made is None) == child
    assert (tmp_path / "int8.onnx").exists() != child
