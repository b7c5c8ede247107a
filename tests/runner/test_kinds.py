"""The same images in every kind of source: the same features, bit for bit, of the same choice."""

import numpy as np
import pytest
from kind_samples import CATS, KINDS, photographs
from source_samples import picture

from cache.store import FeatureCache
from engine.backbones.request import backbone_request
from engine.process.execution import Execution
from engine.runner.extract import FeatureRequest, extract
from engine.runner.survey import Selection, survey

MOBILENET = "mobilenet_v2_1.00_224_imagenet_notop.weights.h5"


def features(location, cache, backbone, limit):
    """Return digest -> (label, bytes of the feature) of a choice, extracted into a new cache."""
    request = FeatureRequest(backbone, "fp32")
    with survey(location, Selection(limit_per_class=limit)) as images:
        done = extract(images, cache, request, Execution(batch_size=8, threads=2))
    assert (done.tally.computed, done.tally.rejected) == (2 * limit, [])
    (space,) = FeatureCache.open(cache).spaces()
    rows = space.rows()
    digests = np.frombuffer(b"".join(row.digest for row in rows), np.uint8).reshape(-1, 32)
    each = space.index().read(digests)
    return {row.digest: (row.label, f.tobytes()) for row, f in zip(rows, each, strict=True)}


def same_in_every_kind(folder, members, backbone, limit):
    """Assert that each kind gives the features that the folder gives; return those."""
    expected = None
    for number, (kind, write) in enumerate(KINDS.items()):
        (folder / f"{number}").mkdir()
        location = write(folder / f"{number}", members)
        got = features(location, folder / f"cache-{number}", backbone, limit)
        expected = got if expected is None else expected
        assert got == expected, kind
    return expected


def test_features_of_drawn_images_are_the_same_in_every_kind(tmp_path, tiny_backbone):
    names = [f"pets/{label}/{n}.jpg" for label in (CATS, "Dog") for n in range(9)]
    members = [(name, picture(12 * n)) for n, name in enumerate(sorted(names))]
    backbone = backbone_request(str(tiny_backbone), "imagenet", None, "tf")
    kept = same_in_every_kind(tmp_path, members, backbone, 4)
    assert len({feature for _, feature in kept.values()}) == 8


@pytest.mark.slow
def test_features_of_photographs_are_the_same_in_every_kind(tmp_path, shared_data):
    weights = str(shared_data / MOBILENET)
    backbone = backbone_request("mobilenet_v2", weights, None, None)
    kept = same_in_every_kind(tmp_path, photographs(shared_data), backbone, 30)
    assert sorted({label for label, _ in kept.values()}) == [CATS, "Dog"]
