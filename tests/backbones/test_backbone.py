"""Features are the same to the bit for any batch size, thread count and neighbours."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from cache.failures import Failure
from engine.backbones.backbone import Backbone, check_model
from engine.backbones.model import ModelFile, feature_space, read_description
from engine.backbones.request import backbone_request
from engine.exporters.backbone import export_backbone
from engine.graphs.model_file import Digests, digests

PIXELS = np.random.default_rng(0).integers(0, 256, (37, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tiny(tiny_backbone, tmp_path_factory) -> ModelFile:
    path = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    return export_backbone(backbone_request(str(tiny_backbone), "imagenet", None, "tf"), path)


def test_bits_do_not_depend_on_the_batch(tiny):
    backbone = Backbone(tiny)
    wanted = backbone.features(PIXELS)
    assert wanted.dtype == np.float32
    assert wanted.shape == (37, 24)
    assert len(np.unique(wanted, axis=0)) == 37
    for size in (1, 2, 3, 8, 16, 36):
        batches = [PIXELS[start : start + size] for start in range(0, 37, size)]
        got = np.concatenate([backbone.features(batch) for batch in batches])
        np.testing.assert_array_equal(got, wanted)


def test_bits_do_not_depend_on_the_order(tiny):
    backbone = Backbone(tiny)
    order = np.random.default_rng(1).permutation(37)
    np.testing.assert_array_equal(
        backbone.features(PIXELS[order]), backbone.features(PIXELS)[order]
    )


def test_bits_do_not_depend_on_threads_and_sessions(tiny):
    wanted = Backbone(tiny).features(PIXELS)
    backbone = Backbone(tiny)
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(backbone.features, [PIXELS] * 40):
            np.testing.assert_array_equal(got, wanted)


def test_dense_layers_give_one_image_the_bits_that_it_has_in_a_batch(tmp_path):
    """Matrix products are where a runtime might take another kernel for one row."""
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(0)
    shapes = [(3072, 512), (512, 257)]
    weights = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32) * 0.02, f"w{n}")
        for n, shape in enumerate(shapes)
    ]
    nodes = [
        helper.make_node("Flatten", ["image"], ["a"]),
        helper.make_node("Gemm", ["a", "w0"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "w1"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 257])],
        weights,
    )
    opset = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "dense.onnx")
    request = backbone_request(str(tmp_path / "dense.onnx"), "imagenet", None, "tf")
    backbone = Backbone(export_backbone(request, tmp_path / "out.onnx"))
    wanted = backbone.features(PIXELS)
    for size in (1, 2, 4, 5, 16):
        batches = [PIXELS[start : start + size] for start in range(0, 37, size)]
        got = np.concatenate([backbone.features(batch) for batch in batches])
        np.testing.assert_array_equal(got, wanted)


def test_a_space_is_named_by_all_that_can_change_a_feature(tiny):
    model = tiny.description
    space = feature_space(model, interpolation="bilinear", decode_rule="rule")
    assert "provenance" not in space
    json.dumps(space)
    same = replace(model, provenance={"onnx": "99"})
    assert feature_space(same, interpolation="bilinear", decode_rule="rule") == space
    changes = {"backbone": "x", "weights": "x", "layer": "x", "preprocessing": "x"}
    changes |= {"height": 1, "width": 1, "features": 1, "precision": "x"}
    for name, value in changes.items():
        other = replace(model, **{name: value})
        assert feature_space(other, interpolation="bilinear", decode_rule="rule") != space
    assert feature_space(model, interpolation="nearest", decode_rule="rule") != space
    assert feature_space(model, interpolation="bilinear", decode_rule="other") != space
    # Spaces that are older than crops keep their ids.
    framed = {"interpolation": "bilinear", "decode_rule": "rule"}
    assert feature_space(model, crop="squash", **framed) == space
    assert feature_space(model, crop="center", **framed) == {**space, "crop": "center"}


def test_a_record_without_a_file_is_refused(tmp_path):
    with pytest.raises(Failure, match="is damaged; delete its folder"):
        read_description(tmp_path / "model.json", tmp_path / "model.onnx")
    with pytest.raises(Failure, match="does not match its recorded SHA-256"):
        Backbone(ModelFile(Path(tmp_path / "model.onnx"), Digests("0" * 64, None), None))


def test_a_model_that_onnx_runtime_does_not_take_is_one_line(tmp_path, tiny):
    path = tmp_path / "model.onnx"
    graph = helper.make_graph([helper.make_node("Unknown", ["x"], ["y"])], "g", [], [])
    refused = r"model\.onnx (is not an ONNX model; it is refused|cannot be loaded: .*; delete its)"
    for data in (b"no model", b"\x0b\x0c", helper.make_model(graph).SerializeToString()):
        path.write_bytes(data)
        with pytest.raises(Failure, match=refused):
            Backbone(ModelFile(path, digests(path), tiny.description))


def test_a_data_file_is_part_of_the_model(tmp_path, tiny_backbone):
    """It is digested too, may not be a link, and is what the graph names."""
    path, data = tmp_path / "model.onnx", tmp_path / "model.onnx.data"
    asked = backbone_request(str(tiny_backbone), "imagenet", None, "tf")
    model = export_backbone(asked, path)
    assert Backbone(model).features(np.zeros((2, 32, 32, 3), np.uint8)).shape == (2, 24)
    original = data.read_bytes()
    data.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    with pytest.raises(Failure, match="does not match its recorded SHA-256"):
        Backbone(model)
    data.rename(tmp_path / "moved")
    with pytest.raises(Failure, match="does not match its recorded SHA-256"):
        Backbone(model)
    (tmp_path / "moved").write_bytes(original)
    try:
        data.symlink_to(tmp_path / "moved")
    except OSError:
        return  # no links for this user
    with pytest.raises(Failure, match=r"model\.onnx\.data is a link, which is refused"):
        Backbone(model)
    data.unlink()
    (tmp_path / "moved").rename(data)
    graph = onnx.load(path, load_external_data=False)
    located = next(c for c in graph.graph.initializer if c.external_data)
    located.external_data[0].value = "../model.onnx.data"
    path.write_bytes(graph.SerializeToString())
    description = replace(model.description, quantization={"levels": 127, "model": "int8"})
    with pytest.raises(Failure, match="in other files, which is refused"):
        check_model(replace(model, digests=digests(path), description=description))
