"""engine.exporters.trial: networks whose features are of no use are told so when exported."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cache.failures import Failure
from engine.backbones.request import backbone_request
from engine.exporters.backbone import export_backbone


def exported(tmp_path, nodes, **constants):
    """Export a network of these nodes, from `image` (N, 3, 4, 4) to `out` (N, 48)."""
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 4, 4])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 48])],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "net.onnx")
    asked = backbone_request(str(tmp_path / "net.onnx"), "imagenet", None, "none")
    return export_backbone(asked, tmp_path / "out.onnx")


def test_what_is_nan_for_every_image_is_told_so(tmp_path):
    nodes = [
        helper.make_node("Mul", ["image", "nan"], ["a"]),
        helper.make_node("Flatten", ["a"], ["out"]),
    ]
    with pytest.raises(Failure, match=r"net\.onnx gives no finite features"):
        exported(tmp_path, nodes, nan=np.float32(np.nan))
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_what_is_nan_for_a_black_picture_alone_is_taken(tmp_path):
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("LpNormalization", ["flat"], ["a"], axis=1, p=2),
        helper.make_node("ReduceL2", ["flat"], ["norm"], axes=[1], keepdims=1),
        helper.make_node("Div", ["flat", "norm"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["out"]),
    ]
    assert exported(tmp_path, nodes).description.features == 48


def test_what_is_zero_for_every_image_is_told_so(tmp_path):
    nodes = [
        helper.make_node("Neg", ["image"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["out"]),
    ]
    with pytest.raises(Failure, match="gives nothing but zeros"):
        exported(tmp_path, nodes)


@pytest.mark.parametrize("share", [1.0, 1e-4, 1e-6])
def test_what_mixes_its_batch_ever_so_little_is_refused(tmp_path, share):
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Mul", ["mean", "share"], ["some"]),
        helper.make_node("Sub", ["image", "some"], ["centred"]),
        helper.make_node("Flatten", ["centred"], ["out"]),
    ]
    with pytest.raises(Failure, match="other features beside other images than alone"):
        exported(tmp_path, nodes, share=np.float32(share))


@pytest.mark.parametrize("share", [1.0, 1e-4])
def test_what_draws_random_numbers_is_refused(tmp_path, share):
    nodes = [
        helper.make_node("RandomNormalLike", ["image"], ["noise"], scale=share),
        helper.make_node("Add", ["image", "noise"], ["noisy"]),
        helper.make_node("Flatten", ["noisy"], ["out"]),
    ]
    with pytest.raises(Failure, match="it draws random numbers"):
        exported(tmp_path, nodes)
