"""The preprocessings, as numbers and as nodes of a graph, against Keras' formulae."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from cache.failures import UsageFailure
from engine.backbones.preprocessing import PREPROCESSINGS, preprocessing_named
from engine.exporters.pixels import preprocessing_nodes


def keras_formula(name: str, pixels: np.ndarray) -> np.ndarray:
    """`preprocess_input` of keras.applications.imagenet_utils, written out in float64."""
    x = pixels.astype(np.float64)
    if name == "tf":
        return x / 127.5 - 1
    if name == "torch":
        return (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    if name == "caffe":
        return x[..., ::-1] - [103.939, 116.779, 123.68]
    if name == "unit":
        return x / 255
    if name == "clip":
        return (x / 255 - [0.48145466, 0.4578275, 0.40821073]) / [
            *(0.26862954, 0.26130258, 0.27577711)
        ]
    if name == "1,2,3/4,5,6":
        return (x - [1, 2, 3]) / [4, 5, 6]
    if name == "bgr:1,2,3/4,5,6":
        return (x[..., ::-1] - [1, 2, 3]) / [4, 5, 6]
    return x


@pytest.mark.parametrize("channels_first", [True, False])
@pytest.mark.parametrize("name", [*PREPROCESSINGS, "1,2,3/4,5,6", "bgr:1,2,3/4,5,6"])
def test_the_nodes_compute_what_keras_does(name, channels_first):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), dtype=np.uint8)
    nodes, constants = preprocessing_nodes(
        preprocessing_named(name), "pixels", "image", channels_first=channels_first
    )
    graph = helper.make_graph(
        nodes,
        "preprocessing",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", 5, 7, 3])],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", None, None, None])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (image,) = session.run(["image"], {"pixels": pixels})
    wanted = keras_formula(name, pixels)
    if channels_first:
        wanted = wanted.transpose(0, 3, 1, 2)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, wanted, rtol=1e-5, atol=1e-5)


def test_an_unknown_name_is_a_usage_error():
    with pytest.raises(UsageFailure, match=r"no preprocessing 'imagenet'; choose from: caffe, tf"):
        preprocessing_named("imagenet")


@pytest.mark.parametrize(
    "name", ["rgb", "1,2,3", "1,2/3,4", "1,2,3/0,1,1", "1,2,nan/1,1,1", "bgr:"]
)
def test_what_is_no_preprocessing_says_how_to_give_one(name):
    with pytest.raises(UsageFailure, match=r"no preprocessing .*unit, clip, or give means"):
        preprocessing_named(name)
