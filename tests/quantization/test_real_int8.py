"""int8 with real weights on real photographs: near fp32, and the same bits however it is run."""

import numpy as np
import onnx
import pytest
from int8_samples import fused_operators

import engine.precision.calibration_set
import engine.precision.comparison
from engine.backbones.request import backbone_request
from engine.backbones.store import exported_model
from engine.graphs.model_file import data_file
from engine.graphs.session import run_over, session
from engine.images.decode import DECODE_RULE
from engine.images.framing import Framing
from engine.precision.calibration_set import Images, calibration_set
from engine.precision.handover import CalibrationPixels
from engine.precision.worker import quantize_file
from engine.sources.choice import select
from engine.sources.open import open_source

ARCHIVE = "cats-dogs-2000.zip"
MOBILENET = "mobilenet_v2_1.00_224_imagenet_notop.weights.h5"
SQUEEZENET = "squeezenet_v1_1_imagenet_notop.keras"
HELD_OUT = 236

# What may be left of an int8 network: the end of MobileNetV2 is float.
INTEGER = {
    *("QLinearConv", "QLinearAdd", "QLinearConcat", "NhwcMaxPool", "Reshape", "Transpose"),
    *("Split", "Concat"),  # of bytes, for a fourth channel
}
END = {"DequantizeLinear", "GlobalAveragePool", "Squeeze", "Flatten"}


@pytest.fixture(scope="module")
def photographs(shared_data):
    for name in (ARCHIVE, MOBILENET, SQUEEZENET):
        if not (shared_data / name).exists():
            pytest.skip(f"{name} is not in ../shared/data")
    return shared_data


def size_of(path):
    """Return the bytes of a model, of its data too."""
    return path.stat().st_size + data_file(path).stat().st_size


@pytest.fixture
def quantized(photographs, tmp_path, monkeypatch):
    """Quantise a backbone; return the parity on 236 other photographs, them, and the file."""

    def made(*request):
        monkeypatch.setattr(engine.precision.calibration_set, "HELD_OUT", HELD_OUT)
        monkeypatch.setattr(engine.precision.comparison, "is_clear", lambda _: False)
        model = exported_model(backbone_request(*request))
        with open_source(photographs / ARCHIVE) as source:
            samples = select(source, fraction=None, limit_per_class=200, seed=0)
            images = Images(source, samples, Framing(), DECODE_RULE, 0, 2)
            size = (model.description.height, model.description.width)
            chosen = calibration_set(images, size)
            pixels = CalibrationPixels(chosen.calibration, *chosen.first(None))
        out = tmp_path / "int8.onnx"
        found = quantize_file(model.path, pixels, out)
        assert (found.calibrated_on, found.parity.images) == (32, HELD_OUT)
        assert size_of(out) < 0.35 * size_of(model.path)
        return found.parity, pixels.held_out, out

    return made


def assert_integer_but_for_the_end(path, folder):
    found = fused_operators(onnx.load(path), folder)
    end = found.index("DequantizeLinear")
    assert set(found[:end]) <= INTEGER
    assert set(found[end:]) <= END


def test_mobilenet_v2(photographs, quantized, tmp_path):
    weights = str(photographs / MOBILENET)
    parity, pixels, path = quantized("mobilenet_v2", weights, None, None)
    assert parity.cosine_mean >= 0.99
    assert parity.cosine_min >= 0.96
    assert parity.head is not None
    assert parity.head.fp32 > 0.95
    assert parity.head.other >= parity.head.fp32 - 0.02
    assert_integer_but_for_the_end(path, tmp_path)

    runner, some = session(path), pixels[:16]
    together = np.concatenate([f for (f,) in run_over(runner, some, ["features"])])
    for size in (1, 5, 16):
        for start in range(0, 16, size):
            (alone,) = runner.run(["features"], {"images": some[start : start + size]})
            np.testing.assert_array_equal(alone, together[start : start + size])


def test_squeezenet(photographs, quantized, tmp_path):
    backbone = str(photographs / SQUEEZENET)
    parity, _, path = quantized(backbone, "imagenet", None, "caffe")
    assert parity.cosine_mean >= 0.998
    assert parity.cosine_min >= 0.99
    assert parity.head is not None
    assert parity.head.other >= parity.head.fp32 - 0.02
    assert_integer_but_for_the_end(path, tmp_path)
