"""ONNX files without their larger constants: read as those who wrote the encoding read them."""

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st
from int8_samples import kernel, model, node, pictures
from onnx import TensorProto, helper, numpy_helper

from engine.backbones.preprocessing import NETWORK_INPUT, PREPROCESSINGS
from engine.graphs.files import without_weights, write_onnx
from engine.graphs.mapping import bare_model
from engine.graphs.session import session
from engine.graphs.wire_format import delimited, read_field, read_varint, varint
from engine.quantization.quantize import quantize


def network():
    nodes = [
        node("Conv", f"{NETWORK_INPUT} k0", "a", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", "a", "b"),
        node("Flatten", "b", "f"),
        node("Gemm", "f dense bias", "features"),
    ]
    constants = {"k0": kernel(16, 3, 3, 3, size=0.02), "bias": kernel(1, 8)}
    return model(nodes, {**constants, "dense": kernel(16 * 16 * 16, 8)}, "features")


def places(data):
    """Return where a bare model says that its constants are: {name: (file, offset, length)}."""
    found = {}
    for constant in onnx.ModelProto.FromString(data).graph.initializer:
        told = {entry.key: entry.value for entry in constant.external_data}
        if told:
            assert constant.data_location == TensorProto.EXTERNAL
            found[constant.name] = (told["location"], int(told["offset"]), int(told["length"]))
    return found


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_session_that_maps_its_constants_computes_the_same_bits(tmp_path, precision):
    whole = network()
    if precision == "int8":
        whole = quantize(whole, PREPROCESSINGS["caffe"], pictures(8), levels=127)
    for number in range(4):  # one of four begins where float32 may
        whole.doc_string = "x" * number
        path = tmp_path / "model.onnx"
        path.write_bytes(whole.SerializeToString())
        (mapped,) = session(path).run(["features"], {"images": pictures(5)})
        (expected,) = session(path.read_bytes()).run(["features"], {"images": pictures(5)})
        np.testing.assert_array_equal(mapped, expected)


def test_a_relative_name_and_a_link_are_mapped_too(tmp_path, monkeypatch):
    folder = tmp_path / "modèles"
    folder.mkdir()
    (folder / "modèle.onnx").write_bytes(network().SerializeToString())
    monkeypatch.chdir(folder)
    names = [Path("modèle.onnx")]
    try:
        (tmp_path / "link.onnx").symlink_to(folder / "modèle.onnx")
        names.append(tmp_path / "link.onnx")
    except OSError:
        pass  # no links for this user
    for name in names:
        (found,) = session(name).run(["features"], {"images": pictures(2)})
        assert found.shape == (2, 8)


def test_what_write_onnx_writes_is_mapped(tmp_path):
    whole, path = network(), tmp_path / "model.onnx"
    matrices = {}
    for number in reversed(range(len(whole.graph.initializer))):
        constant = whole.graph.initializer[number]
        if constant.name in ("dense", "bias"):
            matrices[constant.name] = numpy_helper.to_array(constant)
            del whole.graph.initializer[number]
    for name in ("d", "dd", "d" * 200):
        matrices[name] = np.full((3, 1000), len(name), np.float32)
    write_onnx(whole, matrices, path)
    onnx.checker.check_model(path)
    bare, data = bare_model(path, located=True), path.read_bytes()
    found = places(bare)
    assert found.keys() == matrices.keys() - {"bias"}
    for name, (file, offset, length) in found.items():
        assert (file, offset % 64) == ("model.onnx", 0)
        assert data[offset : offset + length] == matrices[name].tobytes()
    assert len(bare) < 4000
    kept = {c.name: numpy_helper.to_array(c) for c in onnx.load(path).graph.initializer}
    for name, array in matrices.items():
        np.testing.assert_array_equal(kept[name], array)


def test_a_copy_names_the_constants_of_the_file_and_keeps_the_rest(tmp_path):
    path = tmp_path / "model.onnx"
    whole = network()
    matrices = {"matrix": np.ones((3, 1000), np.float32)}
    write_onnx(whole, matrices, path)
    read = onnx.load(path)
    changed = numpy_helper.from_array(np.ones((50, 50), np.float32), "new")
    read.graph.initializer.append(changed)
    before = read.SerializeToString(deterministic=True)
    bare = without_weights(read, path)
    assert read.SerializeToString(deterministic=True) == before
    assert "matrix" in places(bare.SerializeToString())
    kept = {constant.name: constant for constant in bare.graph.initializer}
    assert kept["new"] == changed
    assert not kept["matrix"].raw_data
    nothing = {constant.name: constant for constant in without_weights(read).graph.initializer}
    assert not nothing["new"].raw_data
    assert list(nothing["new"].dims) == [50, 50]
    assert not nothing["matrix"].external_data


def test_constants_that_are_missing_leave_the_rest_as_it_was(tmp_path):
    whole, path = network(), tmp_path / "model.onnx"
    path.write_bytes(whole.SerializeToString())
    bare = onnx.ModelProto.FromString(bare_model(path, located=False))
    assert not places(bare.SerializeToString())
    for constant in whole.graph.initializer:
        if len(constant.raw_data) >= 4096:
            constant.ClearField("raw_data")
    assert bare == whole


_TENSORS = st.builds(
    lambda kind, count, name: helper.make_tensor(
        name, kind, [count], bytes(count * {1: 4, 2: 1, 3: 1, 7: 8, 11: 8}[kind]), raw=True
    ),
    st.sampled_from([1, 2, 3, 7, 11]),
    st.integers(0, 6000),
    st.text(max_size=70),
)


@FUZZ
@given(st.lists(_TENSORS, max_size=6), st.text(max_size=300))
def test_any_model_comes_back_when_its_constants_are_put_back(tmp_path_factory, tensors, text):
    whole = helper.make_model(helper.make_graph([], "g", [], [], tensors), doc_string=text)
    path = tmp_path_factory.mktemp("any") / "model.onnx"
    path.write_bytes(whole.SerializeToString())
    bare = onnx.ModelProto.FromString(bare_model(path, located=True))
    data = path.read_bytes()
    for constant, original in zip(bare.graph.initializer, tensors, strict=True):
        told = {entry.key: entry.value for entry in constant.external_data}
        if told:
            offset, length = int(told["offset"]), int(told["length"])
            assert length >= 4096
            constant.raw_data = data[offset : offset + length]
            constant.ClearField("external_data")
            constant.ClearField("data_location")
        assert constant == original
    assert bare == whole


@FUZZ
@given(st.binary(max_size=300))
def test_bytes_that_are_no_model_are_no_worse_than_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("none") / "model.onnx"
    path.write_bytes(data)
    for located in (True, False):
        try:
            bare = bare_model(path, located=located)
        except ValueError:
            continue
        assert len(bare) <= len(data)


@given(st.integers(0, 2**64 - 1))
def test_numbers_come_back(value):
    assert read_varint(io.BytesIO(varint(value))) == value


def test_what_ends_too_early_or_never_is_refused():
    for data in (b"", b"\x80", b"\x80" * 12):
        with pytest.raises(ValueError, match=r"the file ends|64 bits"):
            read_varint(io.BytesIO(data))
    field = delimited(7, b"abc")
    assert read_field(io.BytesIO(field), len(field)) == (7, 2, len(field))
    for data, message in ((field[:-1], "longer than what it is in"), (b"\x07", "no wire type 7")):
        with pytest.raises(ValueError, match=message):
            read_field(io.BytesIO(data), len(data))
