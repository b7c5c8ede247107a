"""python -m engine.export --head: pixels in, probabilities out, in one file."""

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from trained_samples import train

from cache.failures import Failure
from cache.store import FeatureCache
from engine.backbones.model import METADATA_KEY
from engine.classifiers.find_backbone import backbone_of
from engine.classifiers.to_onnx import export_classifier
from engine.export import main
from engine.graphs.model_file import digests
from engine.heads.head import load_head
from engine.images.decode import decode


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_backbone):
    return train(tmp_path_factory.mktemp("trained"), tiny_backbone)


def test_the_file_says_what_the_head_says(trained, tmp_path, capsys):
    out = tmp_path / "classifier.onnx"
    assert main(["--head", str(trained.head), "--out", str(out), "--json", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    onnx.checker.check_model(out, full_check=True)
    head = load_head(trained.head)
    assert result["classes"] == list(head.classes)
    assert result["bytes"] == out.stat().st_size

    session = onnxruntime.InferenceSession(out)
    (images,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == (
        "images",
        "tensor(uint8)",
        ["N", 32, 32, 3],
    )
    assert (probabilities.name, probabilities.type, probabilities.shape) == (
        "probabilities",
        "tensor(float)",
        ["N", 2],
    )
    space = FeatureCache.open(trained.cache).space()
    rows = space.rows()
    pixels = [
        decode((trained.pictures / row.path).read_bytes(), (32, 32), "bilinear") for row in rows
    ]
    (found,) = session.run(["probabilities"], {"images": np.stack(pixels)})
    digests = np.array([list(row.digest) for row in rows], np.uint8)
    expected = head.probabilities(space.index().read(digests))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.min() < 0.2 < 0.8 < found.max()

    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == list(head.classes)
    record = json.loads(metadata[METADATA_KEY])
    assert {key: record[key] for key in head.description} == dict(head.description)
    assert record["provenance"]["source"] == "tiny.onnx"
    assert record["space"] == head.space


def test_tensors_of_the_network_with_the_names_of_the_head_are_renamed(trained, tmp_path):
    head = load_head(trained.head)
    model = backbone_of(head, trained.head, None, None)
    network = onnx.load(model.path)
    flatten = network.graph.node[-1]
    before = flatten.input[0]
    for node in network.graph.node:
        for names in (node.input, node.output):
            names[:] = ["logits" if name == before else name for name in names]
    again = tmp_path / "again.onnx"
    onnx.save(network, again)
    out = tmp_path / "classifier.onnx"
    export_classifier(head, replace(model, path=again, digests=digests(again)), out)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    (features,) = onnxruntime.InferenceSession(model.path).run(None, {"images": pixels})
    (found,) = onnxruntime.InferenceSession(out).run(None, {"images": pixels})
    np.testing.assert_allclose(found, head.probabilities(features), atol=1e-6)


def test_a_quantized_backbone_takes_a_head_too(trained, tmp_path):
    """A QDQ pair before the output, as static quantization leaves it."""
    head = load_head(trained.head)
    model = backbone_of(head, trained.head, None, None)
    network = onnx.load(model.path)
    network.graph.node[-1].output[0] = "exact"
    network.graph.initializer.extend(
        [
            helper.make_tensor("scale", TensorProto.FLOAT, [], [0.05]),
            helper.make_tensor("zero", TensorProto.UINT8, [], [0]),
        ]
    )
    network.graph.node.extend(
        [
            helper.make_node("QuantizeLinear", ["exact", "scale", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["features"]),
        ]
    )
    quantized, out = tmp_path / "int8.onnx", tmp_path / "classifier.onnx"
    onnx.save(network, quantized)
    export_classifier(head, replace(model, path=quantized, digests=digests(quantized)), out)
    onnx.checker.check_model(out, full_check=True)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    (features,) = onnxruntime.InferenceSession(quantized).run(None, {"images": pixels})
    (found,) = onnxruntime.InferenceSession(out).run(None, {"images": pixels})
    np.testing.assert_allclose(found, head.probabilities(features), atol=1e-6)


def test_a_classifier_is_no_backbone(trained, tmp_path, capsys):
    out = tmp_path / "classifier.onnx"
    assert main(["--head", str(trained.head), "--out", str(out), "--quiet"]) == 0
    capsys.readouterr()
    code = main(["--backbone", str(out), "--out", str(tmp_path / "x.onnx")])
    assert code == 2
    assert "is a whole classifier, not a backbone" in capsys.readouterr().err


def test_what_cannot_be_written_leaves_what_was_there(trained, tmp_path, capsys):
    code = main(["--head", str(trained.head), "--out", str(tmp_path / "no" / "x.onnx")])
    assert code == 2
    assert "there is no folder" in capsys.readouterr().err
    code = main(["--out", str(tmp_path / "x.onnx"), "--cache", "c"])
    assert code == 2
    assert "give --head too" in capsys.readouterr().err
    head = load_head(trained.head)
    model = backbone_of(head, trained.head, None, None)
    (tmp_path / "model.onnx").write_bytes(b"damaged")
    (tmp_path / "out.onnx").write_text("earlier")
    with pytest.raises(Failure, match="does not match its recorded SHA-256"):
        export_classifier(head, replace(model, path=tmp_path / "model.onnx"), tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "out.onnx"]
