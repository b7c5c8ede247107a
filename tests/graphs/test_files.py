"""ONNX files with their larger constants in a data file beside them."""

import numpy as np
import onnx
import pytest
from int8_samples import kernel, model, node, pictures
from onnx import TensorProto, helper, numpy_helper

from cache.failures import Failure
from engine.backbones.preprocessing import NETWORK_INPUT, PREPROCESSINGS
from engine.graphs.files import (
    load_onnx,
    read_onnx,
    refuse_foreign,
    without_weights,
    write_one_file,
    write_onnx,
)
from engine.graphs.model_file import data_file, digests
from engine.graphs.session import session
from engine.graphs.walk import constants
from engine.quantization.quantize import quantize


def network():
    nodes = [
        node("Conv", f"{NETWORK_INPUT} k0", "a", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", "a", "b"),
        node("Flatten", "b", "f"),
        node("Gemm", "f dense bias", "features"),
    ]
    values = {"k0": kernel(16, 3, 3, 3, size=0.02), "bias": kernel(1, 8)}
    return model(nodes, {**values, "dense": kernel(16 * 16 * 16, 8)}, "features")


def places(path):
    """Return what a model's graph says lies elsewhere: {name: (file, offset, length)}."""
    graph = onnx.load(path, load_external_data=False).graph
    told = {
        name: {entry.key: entry.value for entry in constant.external_data}
        for name, constant in constants(graph).items()
        if constant.data_location == TensorProto.EXTERNAL
    }
    return {n: (t["location"], int(t["offset"]), int(t["length"])) for n, t in told.items()}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_session_that_maps_its_constants_computes_the_same_bits(tmp_path, precision):
    whole = network()
    if precision == "int8":
        whole = quantize(whole, PREPROCESSINGS["caffe"], pictures(8), levels=127)
    alone = session(whole.SerializeToString())
    path = tmp_path / "modèle.onnx"
    write_onnx(whole, path)
    assert places(path)
    (mapped,) = session(path).run(["features"], {"images": pictures(5)})
    (expected,) = alone.run(["features"], {"images": pictures(5)})
    np.testing.assert_array_equal(mapped, expected)


def test_larger_constants_and_matrices_lie_aligned_in_the_data_file(tmp_path):
    whole, path = network(), tmp_path / "model.onnx"
    large = numpy_helper.to_array(constants(whole.graph)["dense"])
    matrices = {"m" * n: np.full((3, 1000 + n), n, np.float32) for n in (1, 2, 3)}
    write_onnx(whole, path, matrices)
    onnx.checker.check_model(path)
    found, data = places(path), data_file(path).read_bytes()
    assert found.keys() == {"dense", *matrices}
    for name, (file, offset, length) in found.items():
        assert (file, offset % 64) == ("model.onnx.data", 0)
        assert data[offset : offset + length] == matrices.get(name, large).tobytes()
    assert path.stat().st_size < 4000
    again = {n: numpy_helper.to_array(c) for n, c in constants(load_onnx(path).graph).items()}
    for name, array in {**matrices, "dense": large}.items():
        np.testing.assert_array_equal(again[name], array)


def test_a_model_of_small_constants_is_one_file_and_so_is_what_users_get(tmp_path):
    small = model([node("Relu", NETWORK_INPUT, "features")], {}, "features")
    write_onnx(small, tmp_path / "small.onnx")
    assert digests(tmp_path / "small.onnx").data is None
    write_onnx(network(), tmp_path / "two.onnx")
    write_one_file(load_onnx(tmp_path / "two.onnx"), tmp_path / "one.onnx")
    one = constants(onnx.load(tmp_path / "one.onnx", load_external_data=False).graph)
    for name, constant in constants(network().graph).items():
        np.testing.assert_array_equal(*map(numpy_helper.to_array, (constant, one[name])))
    assert digests(tmp_path / "two.onnx").data is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("one.onnx", "small.onnx", "two.onnx", "two.onnx.data")
    ]


def test_a_copy_names_the_constants_of_the_data_file_and_keeps_the_rest(tmp_path):
    path = tmp_path / "model.onnx"
    write_onnx(network(), path)
    read = load_onnx(path)
    changed = numpy_helper.from_array(np.ones((50, 50), np.float32), "new")
    read.graph.initializer.append(changed)
    before = read.SerializeToString(deterministic=True)
    bare = constants(without_weights(read, path).graph)
    assert read.SerializeToString(deterministic=True) == before
    assert bare["dense"].external_data[0].value == "model.onnx.data"
    assert not bare["dense"].raw_data
    assert bare["new"] == changed
    nothing = constants(without_weights(read).graph)
    assert not nothing["new"].raw_data
    assert list(nothing["new"].dims) == [50, 50]
    assert not nothing["dense"].external_data


def elsewhere(location):
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [2], [1.0, 2.0])
    tensor.external_data.add(key="location", value=location)
    tensor.data_location = TensorProto.EXTERNAL
    return tensor


def hidden(where, location):
    """Return a network with a tensor of another file somewhere in it."""
    whole, tensor = network(), elsewhere(location)
    graph = whole.graph
    inner = helper.make_graph([], "inner", [], [], [tensor])
    sparse = onnx.SparseTensorProto(values=tensor, dims=[2])
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    places_of = {
        "constant": lambda: graph.initializer.append(tensor),
        "attribute": lambda: graph.node.append(constant),
        "subgraph": lambda: graph.node.append(
            helper.make_node("If", ["c"], ["d"], then_branch=inner, else_branch=inner)
        ),
        "function": lambda: whole.functions.append(
            helper.make_function("f", "F", [], ["c"], [constant], [helper.make_opsetid("", 17)])
        ),
        "sparse": lambda: graph.sparse_initializer.append(sparse),
        "sparse attribute": lambda: graph.node.append(
            helper.make_node("Constant", [], ["c"], sparse_value=sparse)
        ),
        "sparse in a subgraph": lambda: (
            inner.sparse_initializer.append(sparse),
            inner.ClearField("initializer"),
            graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=inner)),
        ),
        "training": lambda: whole.training_info.add().algorithm.CopyFrom(inner),
    }
    places_of[where]()
    return whole


WHERE = (
    *("constant", "attribute", "subgraph", "function", "sparse", "sparse attribute"),
    *("sparse in a subgraph", "training"),
)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("location", ["other.bin", "../model.onnx.data", "/etc/passwd", ""])
def test_other_files_are_refused_wherever_they_are_named(tmp_path, where, location):
    path = tmp_path / "model.onnx"
    path.write_bytes(hidden(where, location).SerializeToString())
    (tmp_path / "other.bin").write_bytes(bytes(8))
    # What lies beside a user's file is read, where it is a plain constant.
    beside = (where, location) == ("constant", "other.bin")
    for check in (load_onnx, refuse_foreign, *(() if beside else (read_onnx,))):
        with pytest.raises(Failure, match="in other files, which is refused"):
            check(path)


def test_a_data_file_that_is_missing_or_a_link_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    write_onnx(network(), path)
    data_file(path).rename(tmp_path / "moved")
    for _ in range(2):
        with pytest.raises(Failure, match=r"model\.onnx\.data, the weights of model\.onnx, is no"):
            load_onnx(path)
        with pytest.raises(Failure, match="is no file"):
            refuse_foreign(path)
        try:
            data_file(path).symlink_to(tmp_path / "moved")
        except OSError:
            return  # no links for this user
