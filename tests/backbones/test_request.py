"""engine.backbones.request: options in, a checked and completed request out."""

import argparse
import logging

import pytest

from cache.failures import Failure, UsageFailure
from engine.backbones.options import add_backbone_options, request_from
from engine.backbones.request import Geometry, backbone_request


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    add_backbone_options(parser)
    return request_from(parser.parse_args(arguments))


def test_options_come_back_as_they_were_given(tiny_backbone):
    arguments = ["--backbone", str(tiny_backbone), "--preprocessing", "unit"]
    arguments += ["--pool", "max", "--size", "240x320"]
    request = parsed(*arguments)
    assert request.geometry == Geometry("max", (240, 320))
    assert request.options() == arguments
    assert parsed(*request.options()) == request
    assert parsed("--backbone", "mobilenet_v2", "--size", "160").geometry.size == (160, 160)
    assert parsed().geometry == Geometry("none", None)


@pytest.mark.parametrize("size", ["0", "-1", "9999", "1x2x3", "x", "1.5", "224x"])
def test_a_size_that_is_none_is_a_usage_error(size):
    with pytest.raises(UsageFailure, match="give pixels a side"):
        parsed("--backbone", "mobilenet_v2", f"--size={size}")


def test_fully_connected_layers_take_one_size():
    with pytest.raises(UsageFailure, match="vgg16 to fc2 takes images of one size"):
        parsed("--size", "160")
    assert parsed("--layer", "block5_pool", "--size", "160").geometry.size == (160, 160)


def test_a_file_too_small_for_the_fully_connected_layers_is_cut_before_them(tmp_path, caplog):
    small = tmp_path / "notop.h5"
    with small.open("wb") as file:
        file.truncate(58_889_256)
    with caplog.at_level(logging.INFO, "engine"):
        request = backbone_request("vgg16", str(small), None, None)
    assert (request.layer, request.geometry.pool) == ("block5_pool", "avg")
    assert "vgg16 to block5_pool, pooled by avg, is taken" in caplog.text
    assert backbone_request("vgg16", str(small), None, None, Geometry("max")).geometry.pool == "max"
    named = backbone_request("vgg16", str(small), "block5_pool", None)
    assert named.geometry.pool == "none"
    with small.open("wb") as file:
        file.truncate(553_467_096)
    assert backbone_request("vgg16", str(small), None, None).layer == "fc2"


def test_a_preprocessing_of_six_numbers_has_one_name(tiny_backbone):
    names = {
        backbone_request(str(tiny_backbone), "imagenet", None, text).preprocessing
        for text in ("bgr:104,117,123/1,1,1", "bgr:104.0,117.00,1.23e2/1,1.0,1")
    }
    assert names == {"bgr:104,117,123/1,1,1"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "is a Git LFS pointer"),
        (b"<!DOCTYPE html><html>Sign in", "is a page of the web"),
    ],
)
def test_what_came_instead_of_a_file_is_named(tmp_path, content, words):
    for name in ("net.onnx", "net.keras", "weights.h5"):
        path = tmp_path / name
        path.write_bytes(content)
        asked = ("vgg16", str(path)) if name == "weights.h5" else (str(path), "imagenet")
        with pytest.raises(Failure, match=words):
            backbone_request(*asked, None, "none")
