"""engine.precision.cached_model: an int8 model in a cache, in two files."""

import numpy as np
import pytest
from int8_samples import pictures

import engine.graphs.files
from cache.failures import Failure
from cache.merge import merge
from cache.store import FeatureCache
from cache.verify import verify
from engine.backbones.backbone import Backbone
from engine.backbones.request import backbone_request
from engine.exporters.backbone import export_backbone
from engine.precision.cached_model import cached_model, keep_model
from engine.precision.handover import CalibrationPixels
from engine.precision.worker import quantize_file

IDENTITY = {"interpolation": "bilinear", "decode_rule": "rule"}


@pytest.fixture
def space(tiny_backbone, tmp_path, monkeypatch):
    """A space with an int8 model whose constants lie in a data file."""
    monkeypatch.setattr(engine.graphs.files, "_LARGE_BYTES", 64)
    fp32 = export_backbone(
        backbone_request(str(tiny_backbone), "imagenet", None, "tf"), tmp_path / "fp32.onnx"
    )
    images = pictures(32, size=32)
    file = tmp_path / "model.onnx"
    quantized = quantize_file(
        fp32.path, CalibrationPixels(images[:16], images[16:], np.zeros(16, int)), file
    )
    cache = FeatureCache.create(tmp_path / "cache")
    return keep_model(cache, fp32, quantized, file, IDENTITY)[1]


def test_both_files_are_kept_merged_and_verified(space, tmp_path):
    model = cached_model(space)
    features = Backbone(model).features(pictures(3, size=32))
    assert [path.name for path in space.companions()] == ["model.onnx.data", "model.onnx"]
    assert space.description["quantization"].keys() == {"levels", "model", "data"}
    mine, theirs = FeatureCache.open(tmp_path / "cache"), FeatureCache.create(tmp_path / "other")
    merge(theirs, [mine])
    (copy,) = theirs.spaces()
    np.testing.assert_array_equal(
        Backbone(cached_model(copy)).features(pictures(3, size=32)), features
    )
    assert not verify(theirs).damaged
    data = copy.path / "model.onnx.data"
    data.write_bytes(data.read_bytes()[:-1] + b"?")
    assert list(verify(theirs).damaged) == [str(data)]
    with pytest.raises(Failure, match=r"does not match its recorded SHA-256; the features are"):
        Backbone(cached_model(copy))


def test_a_link_in_the_place_of_the_data_is_refused(space, tmp_path):
    data = space.path / "model.onnx.data"
    data.rename(tmp_path / "moved")
    try:
        data.symlink_to(tmp_path / "moved")
    except OSError:
        pytest.skip("no links for this user")
    with pytest.raises(Failure, match=r"model\.onnx\.data is a link, which is refused"):
        Backbone(cached_model(space))
