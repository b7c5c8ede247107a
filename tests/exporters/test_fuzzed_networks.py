"""Networks of strangers: any bytes, any value in them, end in a network or in one line."""

import json
import os
import signal
import zipfile

import numpy as np
import onnx
import pytest
from conftest import write_tiny_backbone
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from cache.failures import Failure
from engine.backbones.request import backbone_request
from engine.exporters.backbone import export_backbone
from engine.exporters.keras import import_keras
from engine.exporters.keras_file import load_keras_file
from engine.graphs.walk import rename_reads, replace_nodes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="each is tried in a process of its own"),
]

SECONDS = 60
MEMORY = 3 * 2**30

numbers = st.one_of(st.integers(-2, 8), st.sampled_from([-(2**63), 2**31, 2**62, 2**40]))
texts = st.one_of(
    st.sampled_from(["", "image", "pooled", "a", "kernel_0", "/etc/passwd", "\0"]), st.text()
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.floats(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=5,
)
edits = st.lists(st.tuples(st.integers(0), st.binary(max_size=4)), min_size=1, max_size=6)


def apart(action):
    """Run an action as an export does: in a process of its own, with little memory and time.

    Returns what came of it: `done`, the one line of a failure, `killed`, which whoever started
    the process tells in a line, or a traceback.
    """
    inward, outward = os.pipe()
    if (child := os.fork()) == 0:
        os.close(inward)
        os._exit(_tell(action, outward))
    os.close(outward)
    with open(inward, "rb") as file:  # noqa: PTH123 - a descriptor
        said = file.read().decode()
    os.waitpid(child, 0)
    return said or "killed"


def _tell(action, outward):
    import resource
    import traceback

    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    signal.alarm(SECONDS)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        action()
        said = "done"
    except Failure as failure:
        said = str(failure)
    except MemoryError:
        said = "out of memory"  # which every command tells
    except Exception:  # noqa: BLE001 - it is told
        said = f"Traceback: {traceback.format_exc()}"
    os.write(outward, said.encode(errors="backslashreplace")[:60_000])
    return 0


def edited(data, changes):
    data = bytearray(data)
    for place, piece in changes:
        at = place % len(data)
        data[at : at + len(piece)] = piece
    return bytes(data)


def one_line(said):
    assert not said.startswith("Traceback"), said
    assert "\n" not in said, said


@pytest.fixture(scope="module", params=["vectors", "classes"])
def network(request, tmp_path_factory):
    path = write_tiny_backbone(tmp_path_factory.mktemp("network") / "tiny.onnx")
    if request.param == "classes":
        onnx.save(with_classes(onnx.load(path)), path)
    return path


def with_classes(model):
    """Return a network with what an export looks at or rewrites: LRN, a mean, a dense layer."""
    lrn = helper.make_node("LRN", ["b"], ["normal"], size=3)
    rename_reads(model.graph.node[2:3], {"b": "normal"})
    rename_reads(model.graph.node[-1:], {"e": "mean"})
    kept, (flatten,) = model.graph.node[:-2], model.graph.node[-1:]
    nodes = [
        helper.make_node("Transpose", ["d"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("ReduceMean", ["last"], ["mean"], axes=[1, 2], keepdims=0),
        flatten,
        helper.make_node("Gemm", ["pooled", "dense", "bias"], ["sums"], transB=1),
        helper.make_node("Softmax", ["sums"], ["classes"]),
    ]
    replace_nodes(model.graph, [*kept[:2], lrn, *kept[2:], *nodes])
    dense = np.random.default_rng(0).standard_normal((5, 24)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(dense, "dense"))
    model.graph.initializer.append(numpy_helper.from_array(dense[:, 0], "bias"))
    classes = helper.make_tensor_value_info("classes", TensorProto.FLOAT, ["N", 5])
    del model.graph.output[:]
    model.graph.output.append(classes)
    return model


def try_onnx(folder, data, layer=None):
    path = folder / "net.onnx"
    path.write_bytes(data)

    def export():
        asked = backbone_request(str(path), "imagenet", layer, "none")
        export_backbone(asked, folder / "out.onnx")

    one_line(apart(export))


@FUZZ
@given(edits, st.sampled_from([None, "pooled", "a", "kernel_0"]))
def test_any_bytes_as_onnx_are_a_network_or_a_line(tmp_path, network, changes, layer):
    try_onnx(tmp_path, edited(network.read_bytes(), changes), layer)


def fields(message):
    """Return all (message, field) of a message and those within it."""
    places = []
    for field, value in message.ListFields():
        places.append((message, field))
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                places += fields(inner)
    return places


def change(message, field, value):
    """Give a field of a message a value of its kind, or take it away."""
    kinds = {
        field.CPPTYPE_INT64: int,
        field.CPPTYPE_INT32: int,
        field.CPPTYPE_STRING: str,
        field.CPPTYPE_FLOAT: float,
    }
    kind = kinds.get(field.cpp_type)
    if kind is None or not isinstance(value, kind) or field.cpp_type == field.CPPTYPE_INT32:
        if field.is_repeated and field.message_type is not None and value == 0:
            getattr(message, field.name).append(getattr(message, field.name)[0])  # once more
        else:
            message.ClearField(field.name)
        return
    if field.type == field.TYPE_BYTES:
        value = value.encode(errors="surrogatepass")
    elif kind is str:
        value = value.encode(errors="replace").decode()
    if field.is_repeated:
        getattr(message, field.name)[0] = value
    else:
        setattr(message, field.name, value)


@FUZZ
@given(
    st.lists(st.tuples(st.integers(0), st.one_of(numbers, texts)), min_size=1, max_size=3),
    st.sampled_from([None, None, "c"]),
)
def test_any_value_in_onnx_is_a_network_or_a_line(tmp_path, network, changes, layer):
    model = onnx.ModelProto.FromString(network.read_bytes())
    for place, value in changes:
        places = fields(model)
        if places:
            change(*places[place % len(places)], value)
    try_onnx(tmp_path, model.SerializeToString(), layer)


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    """A .keras file, written by a process of its own: this one imports Keras and no more.

    Once TensorFlow is at work a process must not fork any longer.
    """
    path = tmp_path_factory.mktemp("keras") / "net.keras"
    keras = import_keras()

    def save():
        layers = keras.layers
        image = layers.Input((8, 8, 3))
        middle = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
        middle = layers.BatchNormalization()(middle)
        keras.Model(image, layers.GlobalAveragePooling2D()(middle)).save(path)

    assert apart(save) == "done"
    return path


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def try_keras(folder, members):
    path = folder / "net.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    load_file(path)


def load_file(path):
    one_line(apart(lambda: load_keras_file(path, None)))


def places_of(value):
    """Return each (container, key) of a JSON value."""
    places, todo = [], [value]
    while todo:
        inner = todo.pop()
        keys = inner.keys() if isinstance(inner, dict) else range(len(inner))
        for key in keys:
            places.append((inner, key))
            if isinstance(inner[key], (dict, list)):
                todo.append(inner[key])
    return places


@FUZZ
@given(st.lists(st.tuples(st.integers(0), json_values), min_size=1, max_size=3))
def test_any_value_in_a_keras_file_is_a_network_or_a_line(tmp_path, keras_file, changes):
    members = members_of(keras_file)
    config = json.loads(members["config.json"])
    for place, value in changes:
        places = places_of(config)
        if places:
            container, key = places[place % len(places)]
            container[key] = value
    try_keras(tmp_path, members | {"config.json": json.dumps(config).encode()})


@FUZZ
@given(edits, st.sampled_from(["config.json", "metadata.json", "model.weights.h5", None]))
def test_any_bytes_in_a_keras_file_are_a_network_or_a_line(tmp_path, keras_file, changes, member):
    if member is not None:
        members = members_of(keras_file)
        try_keras(tmp_path, members | {member: edited(members[member], changes)})
        return
    path = tmp_path / "net.keras"
    path.write_bytes(edited(keras_file.read_bytes(), changes))
    load_file(path)
