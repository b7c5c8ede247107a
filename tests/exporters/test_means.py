"""engine.exporters.means: averages that do not hang on the batch."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.backbones.backbone import Backbone
from engine.backbones.request import backbone_request
from engine.exporters.backbone import export_backbone
from engine.exporters.means import write_out_means


def network(axes, keepdims, opset):
    """Return a model that averages `image`, (N, 3, 20, 24), over axes, NHWC before that."""
    attributes = {"keepdims": keepdims}
    inputs, constants = ["nhwc"], []
    if opset >= 18:
        inputs.append("axes")
        constants.append(numpy_helper.from_array(np.array(axes, np.int64), "axes"))
    else:
        attributes["axes"] = axes
    nodes = [
        helper.make_node("Transpose", ["image"], ["nhwc"], perm=[0, 2, 3, 1]),
        helper.make_node("ReduceMean", inputs, ["summed"], **attributes),
        helper.make_node("Flatten", ["summed"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 20, 24])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", None])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run(model, images):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(["out"], {"image": images})[0]


@pytest.mark.parametrize("axes", [[1, 2], [-2, -3], [1], [2], [3], [2, 3], [1, 3]])
@pytest.mark.parametrize(("keepdims", "opset"), [(0, 13), (1, 17), (0, 18)])
def test_they_are_the_same_means(axes, keepdims, opset):
    images = np.random.default_rng(0).standard_normal((3, 3, 20, 24)).astype(np.float32)
    model = network(axes, keepdims, opset)
    before = run(model, images)
    write_out_means(model)
    onnx.checker.check_model(model)
    np.testing.assert_allclose(run(model, images), before, rtol=1e-5, atol=1e-5)
    pooled = any(node.op_type == "GlobalAveragePool" for node in model.graph.node)
    assert pooled == (axes in ([1, 2], [-2, -3]))


@pytest.mark.parametrize("axes_are", ["attribute", "constant", "node"])
def test_a_mean_over_the_positions_is_the_same_alone_and_beside_others(tmp_path, axes_are):
    model = network([1, 2], 0, 17 if axes_are == "attribute" else 18)
    if axes_are == "node":  # as torch's older exporter writes them
        (axes,) = model.graph.initializer
        model.graph.node.insert(0, helper.make_node("Constant", [], ["axes"], value=axes))
        del model.graph.initializer[:]
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3
    onnx.save(model, tmp_path / "mean.onnx")
    asked = backbone_request(str(tmp_path / "mean.onnx"), "imagenet", None, "torch")
    backbone = Backbone(export_backbone(asked, tmp_path / "out.onnx"))
    pixels = np.random.default_rng(0).integers(0, 256, (7, 20, 24, 3), np.uint8)
    alone = np.concatenate([backbone.features(pixels[n : n + 1]) for n in range(7)])
    np.testing.assert_array_equal(backbone.features(pixels), alone)
