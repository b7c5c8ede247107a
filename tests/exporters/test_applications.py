"""The networks of keras.applications by name: their features are Keras' own."""

import numpy as np
import pytest

from engine.backbones.architectures import ARCHITECTURES
from engine.backbones.backbone import Backbone
from engine.backbones.preprocessing import preprocessing_named
from engine.backbones.request import Geometry, backbone_request
from engine.exporters.backbone import export_backbone
from engine.exporters.keras import import_keras, network_of
from engine.exporters.weights import random_weights

# One of each family that is small; normalisations and groups inside, sizes of their own.
SMALL = ("efficientnet_b0", "mobilenet_v3_small", "convnext_tiny", "nasnet_mobile", "resnet50_v2")


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_features_are_kerass_own(name, tmp_path):
    architecture, size = ARCHITECTURES[name], (96, 128)
    geometry = Geometry(size=None if name == "nasnet_mobile" else size)
    asked = backbone_request(name, "random:0", None, None, geometry)
    model = export_backbone(asked, tmp_path / "model.onnx")
    description = model.description
    pixels = np.random.default_rng(0).integers(
        0, 256, (2, description.height, description.width, 3), np.uint8
    )
    build = getattr(import_keras().applications, architecture.keras_name)
    shape = (description.height, description.width, 3)
    network = build(include_top=False, weights=None, pooling="avg", input_shape=shape)
    layers = network_of(network, "", "", with_weights=False).layers
    weighted = [layer for layer in network.layers if layer.weights]
    for layer, arrays in zip(weighted, random_weights(layers, 0), strict=True):
        layer.set_weights(arrays)
    numbers = preprocessing_named(architecture.preprocessing)
    images = (pixels - np.array(numbers.mean)) / np.array(numbers.scale)
    if numbers.reverse_channels:
        images = images[..., ::-1]
    wanted = network.predict(images.astype(np.float32), verbose=0)
    got = Backbone(model).features(pixels)
    assert np.abs(got - wanted).max() <= 1e-4 * np.abs(wanted).max()
    assert import_keras().backend.image_data_format() == "channels_last"
