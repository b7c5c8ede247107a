"""Odd models export with the features of their own runtime, or are refused in one line.

The same table is docs/odd_models.md.
"""

import logging

import numpy as np
import odd_models_page
import onnx
import onnxruntime
import pytest
from odd_keras import ODD_KERAS
from odd_onnx import ODD_ONNX
from onnx import TensorProto, helper

from cache.failures import Failure
from engine.backbones.backbone import Backbone
from engine.backbones.preprocessing import preprocessing_named
from engine.backbones.request import Geometry, backbone_request
from engine.exporters.backbone import export_backbone

ODD = [
    *(pytest.param(odd, id=f"onnx: {odd.name}") for odd in ODD_ONNX),
    # Each takes a second or two of TensorFlow.
    *(pytest.param(odd, id=f"keras: {odd.name}", marks=pytest.mark.slow) for odd in ODD_KERAS),
]


def onnx_runtime(path, odd, folder):
    """Return the function of an ONNX file's own runtime, at the layer that is asked for."""
    model = onnx.load(path)
    name = odd.layer or model.graph.output[0].name
    if name not in (output.name for output in model.graph.output):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    (folder / "own").mkdir()
    onnx.save(model, folder / "own" / "net.onnx")
    session = onnxruntime.InferenceSession(folder / "own" / "net.onnx")
    entry = session.get_inputs()[0]
    dtypes = {"tensor(float16)": np.float16, "tensor(uint8)": np.uint8}

    def features(pixels):
        images = pixels if entry.shape[3] in (3, "C") else pixels.transpose(0, 3, 1, 2)
        images = images.astype(dtypes.get(entry.type, np.float32))
        # One at a time: the batch of some is fixed.
        values = [session.run([name], {entry.name: image[None]})[0] for image in images]
        features = np.concatenate(values).astype(np.float32)
        axes = {4: (2, 3), 3: (1,)}.get(features.ndim)
        return features.mean(axis=axes) if odd.pool == "avg" and axes else features

    return features


@pytest.mark.parametrize("odd", ODD)
def test_it_has_its_own_features_or_is_refused_in_a_line(odd, tmp_path, caplog):
    made = odd.make(tmp_path)
    path, features = made if isinstance(made, tuple) else (made, None)

    def exported():
        asked = backbone_request(
            str(path), "imagenet", odd.layer, odd.preprocessing, Geometry(odd.pool, odd.size)
        )
        with caplog.at_level(logging.INFO):
            return export_backbone(asked, tmp_path / "exported.onnx")

    if odd.said is not None:
        with pytest.raises(Failure) as refused:
            exported()
        assert odd.said in str(refused.value)
        assert "\n" not in str(refused.value)
        assert not (tmp_path / "exported.onnx").exists()
        return
    model = exported()
    if odd.remark is not None:
        assert odd.remark in caplog.text
    shape = (3, model.description.height, model.description.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    numbers = preprocessing_named(odd.preprocessing)
    images = pixels
    if odd.preprocessing != "none":
        images = (pixels - np.float32(numbers.mean)) / np.float32(numbers.scale)
    wanted = (features or onnx_runtime(path, odd, tmp_path))(images).reshape(3, -1)
    got = Backbone(model).features(pixels)
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= odd.tolerance * np.abs(wanted).max()


def test_there_are_more_than_twenty_and_the_page_lists_them():
    names = [(odd.name, odd.options) for odd in (*ODD_ONNX, *ODD_KERAS)]
    assert len(names) > 20
    written = odd_models_page.PAGE.read_text(encoding="utf-8")
    assert written == odd_models_page.page(), "run python tests/odd_models_page.py"
