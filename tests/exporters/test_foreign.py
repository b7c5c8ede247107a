"""engine.exporters.foreign: what a user's ONNX file may leave open, and how it is cut."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import engine.export
from cache.failures import Failure, UsageFailure
from engine.backbones import store as model_store
from engine.backbones.backbone import Backbone
from engine.backbones.request import Geometry, backbone_request
from engine.exporters.backbone import export_backbone

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 12, 16, 3), np.uint8)


def written(path, *, size=(12, 16), kind=TensorProto.FLOAT, out=("N", 5), last=False):
    """Write a network of a convolution, `map`, and its average, `out`."""
    dtype = np.float16 if kind == TensorProto.FLOAT16 else np.float32
    kernel = np.random.default_rng(1).standard_normal((5, 3, 3, 3)).astype(dtype)
    nodes, source = [], "image"
    if kind == TensorProto.UINT8:
        nodes.append(helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT))
        source = "floats"
    if last:
        nodes.append(helper.make_node("Transpose", [source], ["first"], perm=[0, 3, 1, 2]))
        source = "first"
    nodes += [
        helper.make_node("Conv", [source, "kernel"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["out"]),
    ]
    gives = TensorProto.FLOAT16 if kind == TensorProto.FLOAT16 else TensorProto.FLOAT
    shape = ["N", *size, 3] if last else ["N", 3, *size]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("out", gives, out)],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def features(path, folder, layer=None, geometry=None):
    asked = backbone_request(str(path), "imagenet", layer, "none", geometry or Geometry())
    return Backbone(export_backbone(asked, folder / "exported.onnx")).features(PIXELS)


def own(path, name="out"):
    """Return what the network's own runtime gives."""
    session = onnxruntime.InferenceSession(path)
    entry = session.get_inputs()[0]
    images = PIXELS if entry.shape[3] == 3 else PIXELS.transpose(0, 3, 1, 2)
    dtypes = {"tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
    images = images.astype(dtypes.get(entry.type, np.float32))
    return session.run([name], {entry.name: images})[0].astype(np.float32).reshape(3, -1)


def assert_close(got, wanted):
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= 2e-3 * np.abs(wanted).max()


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8])
@pytest.mark.parametrize("last", [False, True])
def test_types_and_layouts_are_taken(tmp_path, kind, last):
    path = written(tmp_path / "net.onnx", kind=kind, last=last)
    assert_close(features(path, tmp_path), own(path))


@pytest.mark.parametrize("layer", ["map", "pooled"])
def test_any_tensor_is_a_layer(tmp_path, layer):
    path = written(tmp_path / "net.onnx")
    got = features(path, tmp_path, layer)
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info(layer, TensorProto.FLOAT, None))
    onnx.save(model, tmp_path / "more.onnx")
    assert_close(got, own(tmp_path / "more.onnx", layer))


def test_a_wrong_layer_names_the_vectors(tmp_path):
    path = written(tmp_path / "net.onnx")
    with pytest.raises(UsageFailure, match=r"no output 'fc'; it has: out, pooled \(any of its"):
        features(path, tmp_path, "fc")
    with pytest.raises(UsageFailure, match=r"no output 'mop'; it has: out, map, pooled \(any"):
        features(path, tmp_path, "mop")


def test_open_sizes_are_those_that_are_asked_for(tmp_path):
    path = written(tmp_path / "net.onnx", size=("H", "W"))
    assert_close(features(path, tmp_path, geometry=Geometry(size=(12, 16))), own(path))
    with pytest.raises(UsageFailure, match="does not say the size of its images; give one"):
        features(path, tmp_path)
    fixed = written(tmp_path / "fixed.onnx")
    with pytest.raises(UsageFailure, match="takes images of 12 x 16 pixels alone"):
        features(fixed, tmp_path, geometry=Geometry(size=(32, 32)))


def test_an_unknown_width_is_found_by_a_run(tmp_path):
    path = written(tmp_path / "net.onnx", out=("N", "D"))
    assert_close(features(path, tmp_path), own(path))


def test_a_data_file_beside_it_is_taken_in_and_counts(tmp_path):
    path = written(tmp_path / "net.onnx")
    wanted = own(path)
    model = onnx.load(path)
    location = "net.onnx.data"
    onnx.save(model, path, save_as_external_data=True, location=location, size_threshold=0)
    assert_close(features(path, tmp_path), wanted)
    asked = backbone_request(str(path), "imagenet", None, "none")
    key = model_store._key(asked)
    data = tmp_path / location
    data.write_bytes(data.read_bytes()[:-1] + b"?")
    assert model_store._key(asked) != key


def test_an_output_that_is_listed_twice_is_one(tmp_path):
    path = written(tmp_path / "net.onnx")
    once = features(path, tmp_path)
    model = onnx.load(path)
    model.graph.output.append(model.graph.output[0])
    onnx.save(model, path)
    np.testing.assert_array_equal(features(path, tmp_path), once)


def test_a_layers_name_is_one_line_whatever_it_holds(tmp_path, capsys):
    path, name = written(tmp_path / "net.onnx"), "\x1b[31mred\nhead in /etc"
    model = onnx.load(path)
    model.graph.node[-1].output[0] = model.graph.output[0].name = name
    onnx.save(model, path)
    words = ("--backbone", str(path), "--preprocessing", "none", "--out", str(tmp_path / "o.onnx"))
    assert engine.export.main(words) == 0
    assert r"onnx to \x1b[31mred\nhead in /etc, " in capsys.readouterr().out


def test_a_network_without_outputs_is_one_line(tmp_path):
    path = written(tmp_path / "net.onnx")
    model = onnx.load(path)
    del model.graph.output[:]
    onnx.save(model, path)
    with pytest.raises(Failure, match="has no output; name one of its tensors as layer"):
        features(path, tmp_path)
    assert features(path, tmp_path, layer="out").shape == (3, 5)


def test_a_dense_layer_whose_matrix_is_none_is_one_line(tmp_path):
    path = written(tmp_path / "net.onnx", out=("N", 2))
    model = onnx.load(path)
    model.graph.node[-1].output[0] = "flat"
    model.graph.node.append(helper.make_node("Gemm", ["flat", "matrix"], ["out"]))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1), "matrix"))
    onnx.save(model, path)
    with pytest.raises(Failure, match="ONNX"):
        features(path, tmp_path)
