"""Backbones as users write them."""

import pytest
from conftest import write_tiny_backbone

from cache.failures import UsageFailure
from engine.backbone_comparison.candidate import read_candidates
from engine.backbones.request import Geometry
from engine.images.framing import Framing


@pytest.fixture
def network(tmp_path):
    return write_tiny_backbone(tmp_path / "net+1 & a.onnx".replace("&", "n"))


def test_options_follow_a_question_mark(network):
    first, second, third = read_candidates(
        [
            "vgg16?weights=random:3&layer=block5_pool&pool=avg&precision=fp32",
            f"{network}?preprocessing=bgr:104,117,123/1,1,1&size=32x32",
            "mobilenet_v2?crop=center",
        ]
    )
    assert first.name == "vgg16 block5_pool avg"
    assert first.request.backbone.geometry == Geometry("avg")
    assert (first.request.backbone.weights, first.request.precision) == ("random:3", "fp32")
    assert second.name == "net+1 n a 32x32"
    assert second.request.backbone.geometry == Geometry("none", (32, 32))
    assert second.request.backbone.preprocessing.startswith("bgr:104")
    assert (third.name, third.request.precision) == ("mobilenet_v2 center", "auto")
    assert (first.request.framing, third.request.framing) == (Framing(), Framing(crop="center"))


def test_two_of_one_name_are_told_apart():
    specs = ["mobilenet_v2?weights=random:1", "mobilenet_v2?weights=random:2"]
    assert [candidate.name for candidate in read_candidates(specs)] == specs


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("vgg61", "vgg61"),
        ("vgg16?wieghts=random:0", "wieghts.* cannot be read"),
        ("vgg16?pool", "no pooling ''"),
        ("vgg16?pool=avg&pool=max", "each once"),
        ("vgg16?pool=most", "no pooling"),
        ("vgg16?size=big", "size big"),
        ("vgg16?precision=int9", "precision int9"),
        ("vgg16?crop=middle", "crop middle: choose from squash, center"),
    ],
)
def test_what_cannot_be_read_is_one_line(spec, message):
    with pytest.raises(UsageFailure, match=message) as raised:
        read_candidates([spec, "mobilenet_v2"])
    assert "\n" not in str(raised.value)


def test_the_same_twice_is_told():
    with pytest.raises(UsageFailure, match="is there twice"):
        read_candidates(["mobilenet_v2", "mobilenet_v2?precision=auto"])
