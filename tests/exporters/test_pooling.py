"""--pool: the average or the maximum over the positions of a map, or over tokens."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cache.failures import UsageFailure
from engine.backbones.backbone import Backbone
from engine.backbones.model import feature_space
from engine.backbones.request import Geometry, backbone_request
from engine.exporters.backbone import export_backbone


def written(path, kind):
    """Write a network that gives a map (N, C, H, W) or (N, H, W, C), or tokens (N, T, C)."""
    kernel = np.random.default_rng(0).standard_normal((5, 3, 3, 3)).astype(np.float32)
    shapes = {"first": ["N", 5, 6, 8], "last": ["N", 6, 8, 5], "tokens": ["N", 48, 5]}
    image = ["N", 8, 10, 3] if kind == "last" else ["N", 3, 8, 10]
    nodes, constants = [], [numpy_helper.from_array(kernel, "kernel")]
    source = "image"
    if kind == "last":
        nodes.append(helper.make_node("Transpose", ["image"], ["first"], perm=[0, 3, 1, 2]))
        source = "first"
    out = "out" if kind == "first" else "map"
    nodes.append(helper.make_node("Conv", [source, "kernel"], [out]))
    if kind == "last":
        nodes.append(helper.make_node("Transpose", ["map"], ["out"], perm=[0, 2, 3, 1]))
    if kind == "tokens":
        constants.append(numpy_helper.from_array(np.array([0, 5, 48], np.int64), "shape"))
        nodes.append(helper.make_node("Reshape", ["map", "shape"], ["flat"]))
        nodes.append(helper.make_node("Transpose", ["flat"], ["out"], perm=[0, 2, 1]))
    graph = helper.make_graph(
        nodes,
        kind,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shapes[kind])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("kind", ["first", "last", "tokens"])
@pytest.mark.parametrize("pool", ["avg", "max"])
def test_a_map_or_tokens_are_pooled(tmp_path, kind, pool):
    path = str(written(tmp_path / "net.onnx", kind))
    pixels = np.random.default_rng(1).integers(0, 256, (4, 8, 10, 3), np.uint8)
    maps = Backbone(
        export_backbone(backbone_request(path, "imagenet", None, "unit"), tmp_path / "map.onnx")
    ).features(pixels)
    values = maps.reshape(4, 5, 48) if kind == "first" else maps.reshape(4, 48, 5).swapaxes(1, 2)
    asked = backbone_request(path, "imagenet", None, "unit", Geometry(pool))
    model = export_backbone(asked, tmp_path / "pooled.onnx")
    wanted = values.mean(axis=2) if pool == "avg" else values.max(axis=2)
    np.testing.assert_allclose(Backbone(model).features(pixels), wanted, rtol=1e-5, atol=1e-5)
    assert (model.description.features, model.description.pool) == (5, pool)
    named = feature_space(model.description, interpolation="bilinear", decode_rule="rule")
    assert named["pool"] == pool


def test_a_space_without_pooling_is_named_as_before(tiny_backbone, tmp_path):
    asked = backbone_request(str(tiny_backbone), "imagenet", None, "tf")
    model = export_backbone(asked, tmp_path / "out.onnx").description
    assert "pool" not in feature_space(model, interpolation="bilinear", decode_rule="rule")


def test_vectors_have_nothing_to_pool(tiny_backbone, tmp_path):
    asked = backbone_request(str(tiny_backbone), "imagenet", None, "tf", Geometry("avg"))
    with pytest.raises(UsageFailure, match="has no positions to pool over"):
        export_backbone(asked, tmp_path / "out.onnx")
