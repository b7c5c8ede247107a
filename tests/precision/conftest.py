"""A small exported backbone, and images to calibrate it by and to compare it on."""

import numpy as np
import pytest
from int8_samples import pictures

from engine.backbones.request import backbone_request
from engine.backbones.store import exported_model
from engine.precision.handover import CalibrationPixels


@pytest.fixture(scope="module")
def fp32(tiny_backbone):
    return exported_model(backbone_request(str(tiny_backbone), "imagenet", None, "torch"))


@pytest.fixture(scope="module")
def pixels():
    images = pictures(36, size=32)
    return CalibrationPixels(images[:16], images[16:], np.arange(20) % 2)
