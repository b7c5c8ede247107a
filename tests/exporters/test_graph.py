"""One ONNX file out of a network and its weights, and ONNX files from strangers."""

import os
import shutil
import signal
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import write_tiny_backbone
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from cache.failures import Failure, UsageFailure
from engine.backbones.preprocessing import preprocessing_named
from engine.exporters.graph import NETWORK_INPUT, write_model
from engine.exporters.network import graph_of
from engine.graphs.files import metadata_of, read_onnx, write_onnx
from engine.graphs.model_file import digest_of_all

NONE = preprocessing_named("none")


def network(nodes, outputs, image=("image", ["N", 3, 4, 4]), weights=(), kind=TensorProto.FLOAT):
    """Make a model; outputs: name -> shape, float32."""
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(image[0], kind, image[1])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def two_outputs():
    """A network that gives sums of pixels per channel as `sums` and twice that as `double`."""
    nodes = [
        helper.make_node("ReduceSum", ["image", "axes"], ["sums"], keepdims=0),
        helper.make_node("Add", ["sums", "sums"], ["double"]),
    ]
    axes = numpy_helper.from_array(np.array([2, 3], np.int64), "axes")
    return network(nodes, {"sums": ["N", 3], "double": ["N", 3]}, weights=[axes])


PIXELS = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)


def written(tmp_path, graph, preprocessing=NONE):
    path = tmp_path / "out.onnx"
    write_model(graph, preprocessing, {"key": "value"}, path)
    return path


def features(path, pixels=PIXELS):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (image,), (output,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type) == ("images", "tensor(uint8)")
    assert (output.name, output.type) == ("features", "tensor(float)")
    return session.run(["features"], {"images": pixels})[0]


def test_an_output_is_chosen_and_what_only_others_need_is_cut_off(tmp_path):
    sums = PIXELS.astype(np.float32).sum(axis=(1, 2))
    path = written(tmp_path, graph_of(two_outputs(), {}, "sums"))
    np.testing.assert_array_equal(features(path), sums)
    assert "Add" not in {node.op_type for node in onnx.load(path).graph.node}
    path = written(tmp_path, graph_of(two_outputs(), {}, "double"))
    np.testing.assert_array_equal(features(path), 2 * sums)
    assert metadata_of(onnx.load(path)) == {"key": "value"}


def test_several_outputs_must_be_chosen_from():
    with pytest.raises(UsageFailure, match="several outputs; choose one as layer: sums or double"):
        graph_of(two_outputs(), {}, None)
    with pytest.raises(UsageFailure, match="no output 'fc2'; it has: sums, double"):
        graph_of(two_outputs(), {}, "fc2")


@pytest.mark.parametrize(
    ("image", "inner", "output"),
    [
        ("image", "features", "out"),
        ("images", "images_2", "features"),
        ("features", "images", "network_features"),
        ("preprocessing_1", "network_input", "preprocessing_2"),
        ("preprocessing_1_constant", "network/features", "images"),
    ],
)
def test_a_network_may_use_our_names_for_its_own_tensors(tmp_path, image, inner, output):
    nodes = [
        helper.make_node("Relu", [image], [inner]),
        helper.make_node("GlobalMaxPool", [inner], [output]),
    ]
    model = network(nodes, {output: ["N", 3, 1, 1]}, image=(image, ["N", 3, 4, 4]))
    path = written(tmp_path, graph_of(model, {}, None), preprocessing_named("caffe"))
    wanted = PIXELS[..., ::-1].max(axis=(1, 2)) - np.float32([103.939, 116.779, 123.68])
    np.testing.assert_allclose(features(path), np.maximum(wanted, 0), rtol=1e-6)
    assert any(NETWORK_INPUT in node.input for node in onnx.load(path).graph.node)


def test_a_network_that_takes_channels_last(tmp_path):
    nodes = [helper.make_node("Relu", ["image"], ["out"])]
    model = network(nodes, {"out": ["N", 4, 5, 3]}, image=("image", ["N", 4, 5, 3]))
    graph = graph_of(model, {}, None)
    assert (graph.size, graph.features) == ((4, 5), 60)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    out = features(written(tmp_path, graph), pixels)
    np.testing.assert_array_equal(out, pixels.reshape(2, -1).astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (["N", 3, "H", "W"], "does not say the size"),
        (["N", 3, 0, 4], "does not say the size"),
        (["N", 1, 4, 4], "not one batch of RGB images"),
        (["N", 48], "not one batch of RGB images"),
    ],
)
def test_inputs_that_are_no_images_of_a_size_are_refused(shape, message):
    model = network([helper.make_node("Relu", ["image"], ["out"])], {"out": ["N", 3]})
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", TensorProto.FLOAT, shape))
    with pytest.raises(Failure, match=message):
        graph_of(model, {}, None)


def test_an_output_of_unknown_size_is_refused():
    model = network([helper.make_node("Relu", ["image"], ["out"])], {"out": ["N", "D"]})
    with pytest.raises(Failure, match="does not say how many values its output out has"):
        graph_of(model, {}, None)


def test_other_types_than_float32_are_refused():
    nodes = [helper.make_node("Cast", ["image"], ["out"], to=TensorProto.FLOAT)]
    model = network(nodes, {"out": ["N", 3, 4, 4]}, kind=TensorProto.FLOAT16)
    with pytest.raises(Failure, match=r"image is of float16, not of float$"):
        graph_of(model, {}, None)


@pytest.mark.skipif(not hasattr(os, "O_NONBLOCK"), reason="files are limited elsewhere")
def test_a_full_temporary_folder_is_told_as_such(tmp_path, monkeypatch):
    """ONNX Runtime says only that what it makes cannot be serialised."""
    import resource

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))  # no byte fits
    try:
        with pytest.raises(Failure, match=r"is full: free 0\.0 MB there, or name another"):
            write_model(graph_of(two_outputs(), {}, "sums"), NONE, {}, tmp_path / "out.onnx")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
        signal.signal(signal.SIGXFSZ, previous)


def test_a_network_that_onnx_runtime_does_not_take_is_one_line(tmp_path):
    nodes = [helper.make_node("Unheard", ["image"], ["out"], domain="of.ours")]
    model = network(nodes, {"out": ["N", 3]})
    model.opset_import.append(helper.make_opsetid("of.ours", 1))
    with pytest.raises(Failure, match=r"ONNX Runtime does not take the network: .*Unheard"):
        write_model(graph_of(model, {}, None), NONE, {}, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("content", [b"", b"\0" * 50, b"PK\x03\x04 not ONNX", b"\x08\x08"])
def test_a_file_that_is_no_onnx_is_one_line(tmp_path, content):
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(Failure, match="is not a valid ONNX file: ") as caught:
        read_onnx(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../weights.bin", "sub/weights.bin", "C:weights.bin", "..", "", "/tmp/weights.bin"]
)
def test_weights_outside_the_folder_are_refused(tmp_path, name):
    path = beside(tmp_path, name)
    with pytest.raises(Failure, match="keeps weights in other files"):
        read_onnx(path)


def test_weights_in_any_file_of_the_folder_are_read(tmp_path):
    path = beside(tmp_path, "weights of mine.bin")
    kernel = onnx.load(tmp_path / "tiny.onnx").graph.initializer[0]
    read = read_onnx(path).graph.initializer[0]
    np.testing.assert_array_equal(numpy_helper.to_array(read), numpy_helper.to_array(kernel))
    before = digest_of_all(path)
    data = path.with_name("weights of mine.bin")
    content = data.read_bytes()
    data.write_bytes(content[:-1] + b"?")
    assert digest_of_all(path) != before
    data.unlink()
    with pytest.raises(Failure, match=r"weights of mine\.bin, the weights of x\.onnx, is no file"):
        read_onnx(path)
    (tmp_path / "elsewhere.bin").write_bytes(content)
    try:
        data.symlink_to(tmp_path / "elsewhere.bin")
    except OSError:
        return  # no links for this user
    with pytest.raises(Failure, match="is no file"):
        read_onnx(path)


def beside(tmp_path, name):
    """Write a network whose kernel is said to lie in a file; write that too, where it can be."""
    model = onnx.load(write_tiny_backbone(tmp_path / "tiny.onnx"))
    folder = tmp_path / "model"
    folder.mkdir()
    kernel = model.graph.initializer[0]
    for target in (tmp_path, folder):
        (target / "weights.bin").write_bytes(kernel.raw_data)
    if name.endswith("mine.bin"):
        (folder / name).write_bytes(kernel.raw_data)
    external_data_helper.set_external_data(kernel, name)
    kernel.ClearField("raw_data")
    kernel.data_location = TensorProto.EXTERNAL
    (folder / "x.onnx").write_bytes(model.SerializeToString())
    return folder / "x.onnx"


def test_a_constant_node_with_its_value_in_another_file_is_refused(tmp_path):
    value = numpy_helper.from_array(np.zeros(3, np.float32), "value")
    external_data_helper.set_external_data(value, "secret.bin")
    value.ClearField("raw_data")
    value.data_location = TensorProto.EXTERNAL
    (tmp_path / "secret.bin").write_bytes(bytes(12))
    nodes = [
        helper.make_node("Constant", [], ["c"], value=value),
        helper.make_node("Add", ["image", "c"], ["out"]),
    ]
    model = network(nodes, {"out": ["N", 4, 4, 3]}, image=("image", ["N", 4, 4, 3]))
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(Failure, match="keeps weights in other files"):
        read_onnx(tmp_path / "x.onnx")


def test_large_constants_are_written_beside_the_model_in_one_file(tmp_path):
    rng = np.random.default_rng(0)
    matrices = {
        "wide": rng.standard_normal((48, 300)).astype(np.float32),
        "transposed": rng.standard_normal((7, 300)).astype(np.float32).T,
    }
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "wide"], ["a"]),
        helper.make_node("MatMul", ["a", "transposed"], ["b"]),
        helper.make_node("Add", ["b", "bias"], ["out"]),
    ]
    bias = numpy_helper.from_array(np.arange(7, dtype=np.float32), "bias")
    model = network(nodes, {"out": ["N", 7]}, weights=[bias])
    helper.set_model_props(model, {"key": "é"})
    write_onnx(model, tmp_path / "x.onnx", matrices)
    read = read_onnx(tmp_path / "x.onnx")
    constants = {t.name: numpy_helper.to_array(t) for t in read.graph.initializer}
    assert list(constants) == ["bias", "wide", "transposed"]
    for name, array in matrices.items():
        np.testing.assert_array_equal(constants[name], array)
    assert (tmp_path / "x.onnx.data").stat().st_size >= 4 * 300 * (48 + 7)
    image = rng.standard_normal((2, 3, 4, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx")
    (out,) = session.run(["out"], {"image": image})
    wanted = image.reshape(2, -1) @ matrices["wide"] @ matrices["transposed"] + np.arange(7)
    np.testing.assert_allclose(out, wanted, rtol=1e-3, atol=1e-3)


def test_weights_become_constants_and_are_used_up(tmp_path):
    rng = np.random.default_rng(3)
    kernel = rng.standard_normal((2, 3, 1, 1)).astype(np.float32)
    matrix = rng.standard_normal((32, 5)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["a"]),
        helper.make_node("Flatten", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "matrix"], ["out"]),
    ]
    model = network(nodes, {"out": ["N", 5]})
    for name, array in (("kernel", kernel), ("matrix", matrix)):
        model.graph.input.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
        )
    graph = graph_of(model, {"kernel": kernel, "matrix": matrix}, None)
    path = written(tmp_path, graph)
    assert graph.weights == {}
    image = PIXELS.astype(np.float32).transpose(0, 3, 1, 2)
    wanted = np.einsum("nchw,kc->nkhw", image, kernel[:, :, 0, 0]).reshape(2, -1) @ matrix
    np.testing.assert_allclose(features(path), wanted, rtol=1e-4, atol=1e-2)
