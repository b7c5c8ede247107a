"""Exports of foreign ONNX files; those of Keras networks are in test_keras_models.py."""

import json
from dataclasses import asdict

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import engine.exporters.graph
from cache.failures import Failure, UsageFailure
from cache.files import file_sha256
from engine import export
from engine.backbones.backbone import Backbone
from engine.backbones.model import METADATA_KEY
from engine.backbones.request import BackboneRequest, Geometry, backbone_request
from engine.exporters.backbone import export_backbone
from engine.graphs.files import metadata_of
from engine.graphs.model_file import Digests, data_file, digests

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def request(path, layer=None, preprocessing=None):
    return backbone_request(str(path), "imagenet", layer, preprocessing)


def test_an_exported_file_says_what_it_is(tiny_backbone, tmp_path):
    path = tmp_path / "out.onnx"
    model = export_backbone(request(tiny_backbone, preprocessing="torch"), path)
    assert model.path == path
    assert model.digests == Digests(file_sha256(path), file_sha256(data_file(path)))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.onnx", "out.onnx.data"]
    description = model.description
    assert json.loads(metadata_of(onnx.load(path))[METADATA_KEY]) == asdict(description)
    assert description.weights == file_sha256(tiny_backbone)
    assert (description.backbone, description.layer) == ("onnx", "pooled")
    assert (description.preprocessing, description.precision) == ("torch", "fp32")
    assert (description.height, description.width, description.features) == (32, 32, 24)
    assert description.parameters == 3 * 3 * 3 * 16 + 3 * 3 * 16 * 24
    assert {"source", "weights", "onnx", "onnxruntime"} <= set(description.provenance)


@pytest.mark.parametrize("preprocessing", ["caffe", "tf", "none"])
def test_the_file_computes_what_the_network_does(tiny_backbone, tmp_path, preprocessing):
    model = export_backbone(request(tiny_backbone, None, preprocessing), tmp_path / "out.onnx")
    x = PIXELS.astype(np.float32)
    if preprocessing == "caffe":
        x = x[..., ::-1] - np.float32([103.939, 116.779, 123.68])
    if preprocessing == "tf":
        x = x / 127.5 - 1
    session = onnxruntime.InferenceSession(tiny_backbone)
    (wanted,) = session.run(None, {"image": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})
    np.testing.assert_allclose(
        Backbone(model).features(PIXELS), wanted, rtol=1e-4, atol=1e-4 * wanted.max()
    )


def test_a_file_that_does_not_say_its_preprocessing_needs_it(tiny_backbone, tmp_path):
    with pytest.raises(UsageFailure, match="give a preprocessing: caffe, tf, torch, none, unit"):
        export_backbone(request(tiny_backbone), tmp_path / "out.onnx")
    assert not list(tmp_path.iterdir())


def exported(tiny_backbone, tmp_path):
    return export_backbone(request(tiny_backbone, preprocessing="tf"), tmp_path / "own.onnx")


def test_a_file_that_was_exported_here_is_taken_as_it_is(tiny_backbone, tmp_path):
    own = exported(tiny_backbone, tmp_path)
    for given in (
        request(own.path),
        request(own.path, "pooled"),
        request(own.path, None, "tf"),
        request(own.path, "pooled", "tf"),
    ):
        (tmp_path / "again").mkdir(exist_ok=True)
        again = export_backbone(given, tmp_path / "again" / "own.onnx")
        assert again.digests == own.digests
        assert again.description == own.description


def test_a_file_that_was_exported_here_has_one_layer_and_preprocessing(tiny_backbone, tmp_path):
    own = exported(tiny_backbone, tmp_path)
    with pytest.raises(UsageFailure, match=r"layer fc2: .* was exported with pooled"):
        export_backbone(request(own.path, "fc2"), tmp_path / "x.onnx")
    with pytest.raises(UsageFailure, match=r"preprocessing caffe: .* was exported with tf"):
        export_backbone(request(own.path, None, "caffe"), tmp_path / "x.onnx")
    other = backbone_request(str(own.path), "imagenet", None, None, Geometry(size=(48, 32)))
    with pytest.raises(UsageFailure, match="takes images of 32 x 32 pixels alone"):
        export_backbone(other, tmp_path / "x.onnx")


@pytest.mark.parametrize(
    "change",
    [
        "no JSON",
        "[]",
        {"height": 33},
        {"features": 25},
        {"x": 1},
        {"quantization": 5},
        {"precision": "int8"},
    ],
)
def test_a_file_that_lies_about_itself_is_refused(tiny_backbone, tmp_path, change):
    own = exported(tiny_backbone, tmp_path)
    model = onnx.load(own.path)
    if isinstance(change, dict):
        change = json.dumps({**asdict(own.description), **change})
    helper.set_model_props(model, {METADATA_KEY: change})
    onnx.save(model, tmp_path / "liar.onnx")
    with pytest.raises(Failure, match=r"liar\.onnx (is not what it says|does not say what it is)"):
        export_backbone(request(tmp_path / "liar.onnx"), tmp_path / "x.onnx")


def test_a_file_of_the_third_version_whose_constants_are_inputs_is_exported(tmp_path):
    weights = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "k"], ["y"])],
        "network",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 6, 6]),
            helper.make_tensor_value_info("k", TensorProto.FLOAT, [8, 3, 3, 3]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8, 4, 4])],
        [numpy_helper.from_array(weights, "k")],
    )
    old = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=3)
    onnx.save(old, tmp_path / "old.onnx")
    made = export_backbone(request(tmp_path / "old.onnx", None, "none"), tmp_path / "new.onnx")
    pixels = np.random.default_rng(1).integers(0, 256, (2, 6, 6, 3), dtype=np.uint8)
    images = pixels.transpose(0, 3, 1, 2).astype(np.float32)
    (wanted,) = onnxruntime.InferenceSession(tmp_path / "old.onnx").run(None, {"x": images})
    got = Backbone(made).features(pixels)
    np.testing.assert_allclose(got, wanted.reshape(2, -1), rtol=1e-4, atol=1e-3)


def batch_network(path, nodes, batch, weights=()):
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, 4, 4])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [batch, 48])],
        weights,
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def test_a_network_of_one_image_that_can_take_more_is_taken(tmp_path):
    nodes = [helper.make_node("Flatten", ["image"], ["out"])]
    path = batch_network(tmp_path / "one.onnx", nodes, 1)
    model = export_backbone(request(path, None, "none"), tmp_path / "out.onnx")
    pixels = PIXELS[:, :4, :4]
    wanted = pixels.transpose(0, 3, 1, 2).reshape(3, 48).astype(np.float32)
    np.testing.assert_array_equal(Backbone(model).features(pixels), wanted)


def test_a_network_that_takes_one_image_only_is_refused(tmp_path):
    shape = numpy_helper.from_array(np.array([48, 1], np.int64), "shape")
    nodes = [helper.make_node("Reshape", ["image", "shape"], ["rows"])]
    nodes += [helper.make_node("Transpose", ["rows"], ["out"], perm=[1, 0])]
    path = batch_network(tmp_path / "one.onnx", nodes, 1, [shape])
    with pytest.raises(Failure, match="does not take any number of images at once"):
        export_backbone(request(path, None, "none"), tmp_path / "out.onnx")
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.onnx"]


def test_a_network_that_mixes_the_images_of_a_batch_is_refused(tmp_path):
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["image", "mean"], ["centred"]),
        helper.make_node("Flatten", ["centred"], ["out"]),
    ]
    path = batch_network(tmp_path / "mixes.onnx", nodes, "N")
    with pytest.raises(Failure, match="other features beside other images than alone"):
        export_backbone(request(path, None, "none"), tmp_path / "out.onnx")


def test_a_failed_export_leaves_an_earlier_file_as_it_was(tiny_backbone, tmp_path, monkeypatch):
    own = exported(tiny_backbone, tmp_path)

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine.exporters.graph, "write_onnx", full_disk)
    with pytest.raises(OSError, match="No space"):
        export_backbone(request(tiny_backbone, preprocessing="caffe"), own.path)
    assert digests(own.path) == own.digests
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["own.onnx", "own.onnx.data"]


def test_a_folder_that_is_not_there_is_a_usage_error(tiny_backbone, tmp_path):
    with pytest.raises(UsageFailure, match=r"there is no folder .*nowhere to write out\.onnx in"):
        export_backbone(request(tiny_backbone, None, "tf"), tmp_path / "nowhere" / "out.onnx")


def test_a_request_need_not_come_from_the_command(tiny_backbone, tmp_path):
    given = BackboneRequest(str(tiny_backbone), "own", "pooled", "none")
    assert export_backbone(given, tmp_path / "out.onnx").description.layer == "pooled"


def test_the_command_prints_one_json_object(tiny_backbone, tmp_path, capsys):
    arguments = ["--backbone", str(tiny_backbone), "--preprocessing", "tf"]
    out = tmp_path / "out.onnx"
    assert export.main([*arguments, "--out", str(out), "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert captured.err == ""
    assert result["out"] == str(out)
    assert result["sha256"] == file_sha256(out)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.onnx"]
    assert not any(
        c.external_data for c in onnx.load(out, load_external_data=False).graph.initializer
    )
    assert result["bytes"] == out.stat().st_size


def test_the_googlenet_of_another_exporter(shared_data, tmp_path):
    source = shared_data / "bvlc_googlenet_imagenet.onnx"
    if not source.exists():
        pytest.skip("bvlc_googlenet_imagenet.onnx is not in ../shared/data")
    with pytest.raises(UsageFailure, match="choose one as layer: prob or features"):
        export_backbone(request(source, None, "caffe"), tmp_path / "g.onnx")
    model = export_backbone(request(source, "features", "caffe"), tmp_path / "g.onnx")
    assert (model.description.layer, model.description.features) == ("features", 1024)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    x = pixels[..., ::-1].astype(np.float32) - np.float32([103.939, 116.779, 123.68])
    session = onnxruntime.InferenceSession(source)
    (wanted,) = session.run(["features"], {"data": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})
    got = Backbone(model).features(pixels)
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4 * wanted.max())
