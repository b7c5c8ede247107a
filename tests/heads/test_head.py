"""The head: its arithmetic, its file, and files that strangers made."""

import contextlib
import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st

from cache.failures import Failure
from engine.heads.head import Head, load_head
from engine.heads.rows import LoadedRows
from engine.heads.scores import score

RNG = np.random.default_rng(0)


def a_head(dimension=6, classes=("cat", "dog", "é \udcff")):
    return Head(
        RNG.standard_normal((dimension, len(classes))).astype(np.float32),
        RNG.standard_normal(len(classes)).astype(np.float32),
        classes,
        "0123456789abcdef",
        {"backbone": "vgg16", "layer": "fc2"},
        {"parity": {"cosine": 0.998}},
    )


def test_the_head_of_two_classes_on_fc2_has_8194_parameters():
    assert a_head(4096, ("cat", "dog")).trainable_parameters == 8194


def test_probabilities_are_the_softmax_of_the_logits():
    head = a_head()
    features = RNG.standard_normal((5, 6)).astype(np.float32)
    logits = features.astype(float) @ head.weights + head.biases
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(head.probabilities(features), expected, rtol=1e-5)
    assert head.probabilities(features).dtype == np.float32
    np.testing.assert_allclose(head.logits(features), logits, rtol=1e-4, atol=1e-5)


def test_scores_by_hand():
    head = Head(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), ("a", "b", "c"), "s")
    features = np.array([[9, 0, 0], [0, 9, 0], [9, 0, 0], [0, 0, 0]], np.float32)
    scores = score(head, LoadedRows(features, np.array([0, 1, 2, 0])))
    sure = 1 / (1 + 2 * np.exp(-9))
    nats = [-np.log(sure), -np.log(sure), 9 - np.log(sure), np.log(3)]
    assert scores.loss == pytest.approx(np.mean(nats))
    assert scores.accuracy == 0.75
    assert scores.confusion.tolist() == [[2, 0, 0], [0, 1, 0], [1, 0, 0]]
    np.testing.assert_allclose(scores.confidences, [sure, sure, sure, 1 / 3], rtol=1e-6)


def test_a_head_comes_back_from_its_file_and_its_folder(tmp_path):
    head = a_head()
    head.save(tmp_path / "head.npz")
    for path in (tmp_path, tmp_path / "head.npz", str(tmp_path)):
        back = load_head(path)
        np.testing.assert_array_equal(back.weights, head.weights)
        np.testing.assert_array_equal(back.biases, head.biases)
        assert (back.classes, back.space) == (head.classes, head.space)
        assert (back.description, back.notes) == (head.description, head.notes)
    assert [path.name for path in tmp_path.iterdir()] == ["head.npz"]


def test_the_file_is_plain_numpy_without_pickle(tmp_path):
    head = a_head()
    head.save(tmp_path / "head.npz")
    with np.load(tmp_path / "head.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["weights"], head.weights)
        np.testing.assert_array_equal(arrays["biases"], head.biases)
        assert json.loads(arrays["record"].tobytes())["classes"] == list(head.classes)


def test_the_same_head_has_the_same_bytes():
    head = a_head()
    assert head.file_bytes() == head.file_bytes()


def test_no_head_says_how_to_make_one(tmp_path):
    with pytest.raises(Failure, match=r"there is no head at .*train one"):
        load_head(tmp_path)


def archive(**entries):
    """Return a zip of .npy entries given as bytes or arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", entries.pop("compression", zipfile.ZIP_STORED)) as file:
        for name, value in entries.items():
            if isinstance(value, np.ndarray):
                stream = io.BytesIO()
                np.lib.format.write_array(stream, value, allow_pickle=True)
                value = stream.getvalue()
            file.writestr(f"{name}.npy", value)
    return buffer.getvalue()


def record(**changes):
    values = {"version": 1, "classes": ["a", "b"], "space": "s", "description": {}, "notes": {}}
    return np.frombuffer(json.dumps({**values, **changes}).encode(), np.uint8)


def parts(**changes):
    values = {
        "weights": np.ones((3, 2), np.float32),
        "biases": np.ones(2, np.float32),
        "record": record(),
    }
    return {**values, **changes}


def header(shape, dtype="<f4"):
    """Return an .npy file's beginning that promises an array of a shape, and 8 bytes."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue() + bytes(8)


def deep(levels=100_000):
    return np.frombuffer(b"[" * levels, np.uint8)


def test_the_hostile_files_differ_from_a_good_one(tmp_path):
    (tmp_path / "head.npz").write_bytes(archive(**parts()))
    assert load_head(tmp_path).classes == ("a", "b")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a zip",
        archive(weights=np.ones((3, 2), np.float32)),
        archive(**parts(), compression=zipfile.ZIP_DEFLATED),
        archive(**parts(weights=header((2**40, 2)))),
        archive(**parts(weights=header((2**62, 2**62)))),
        archive(**parts(weights=header((-1, 2)))),
        archive(**parts(weights=np.ones((3, 2)))),
        archive(**parts(weights=np.ones((3, 3), np.float32))),
        archive(**parts(weights=np.ones((0, 2), np.float32))),
        archive(**parts(weights=np.asfortranarray(np.ones((3, 2), np.float32)))),
        archive(**parts(weights=np.full((3, 2), np.nan, np.float32))),
        archive(**parts(biases=np.array([1, np.inf], np.float32))),
        archive(**parts(biases=np.array([{"a": 1}, None], object))),
        archive(**parts(weights=header((3, 2), dtype="|O"))),
        archive(**parts(weights=header((3, 2), dtype=[("a", "<f4")]))),
        archive(**parts(weights=b"\x93NUMPY\1\0\0\3" + b"(" * 768)),
        archive(**parts(weights=b"\x93NUMPY\1\0\xff\xff" + b"-" * 65535)),
        archive(**parts(weights=b"\x93NUMPY\2\0" + header((3, 2))[8:])),
        archive(**parts(record=np.frombuffer(b"[1, 2]", np.uint8))),
        archive(**parts(record=np.frombuffer(b"\xff{", np.uint8))),
        archive(**parts(record=deep())),
        archive(**parts(record=record(classes=["a", "a"]))),
        archive(**parts(record=record(classes=["a", 1]))),
        archive(**parts(record=record(classes="ab"))),
        archive(**parts(record=record(classes=["a", "b", "c"]))),
        archive(**parts(record=record(space=3))),
        archive(**parts(record=record(description=[]))),
        archive(**parts(record=record(version="1"))),
    ],
)
def test_a_strangers_file_is_refused_in_one_line(tmp_path, data):
    (tmp_path / "head.npz").write_bytes(data)
    tracemalloc.start()
    with pytest.raises(Failure, match="is not a head, or is damaged") as failure:
        load_head(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "\n" not in str(failure.value)
    assert peak < 16 * 2**20


def test_no_more_is_read_than_the_file_holds(tmp_path):
    """A stored array may claim any size, in the zip and in its own header alike."""
    data = archive(**parts(weights=header((2**27, 2))))
    claimed = (len(header((2**27, 2))) - 8 + 2**30).to_bytes(4, "little")
    sizes = len(header((2**27, 2))).to_bytes(4, "little") * 2
    (tmp_path / "head.npz").write_bytes(data.replace(sizes, claimed * 2))
    tracemalloc.start()
    with pytest.raises(Failure, match="is compressed, or larger than the file"):
        load_head(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 2**20


def test_a_file_that_no_head_needs_is_not_read(tmp_path):
    with (tmp_path / "head.npz").open("wb") as file:
        file.truncate(2**30 + 1)
    with pytest.raises(Failure, match=r"over 1,073,741,824 bytes"):
        load_head(tmp_path)


def test_a_newer_format_asks_for_an_update(tmp_path):
    (tmp_path / "head.npz").write_bytes(archive(**parts(record=record(version=2))))
    with pytest.raises(Failure, match="update onceover"):
        load_head(tmp_path)


GOOD = a_head().file_bytes()


@FUZZ
@given(
    position=st.integers(0, len(GOOD) - 1),
    value=st.integers(0, 255),
    length=st.integers(0, len(GOOD)) | st.just(len(GOOD)),
)
def test_damaged_bytes_are_refused_or_harmless(tmp_path, position, value, length):
    data = bytearray(GOOD)
    data[position] = value
    (tmp_path / "head.npz").write_bytes(bytes(data[:length]))
    with contextlib.suppress(Failure):
        head = load_head(tmp_path)
        # What the zip's checksums do not cover: dates, versions, padding.
        np.testing.assert_array_equal(head.weights, load_bytes(GOOD, tmp_path).weights)


def load_bytes(data, folder):
    (folder / "good.npz").write_bytes(data)
    return load_head(folder / "good.npz")


pieces = st.sampled_from(["weights", "biases", "record"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@FUZZ
@given(
    piece=pieces,
    position=st.integers(0, 200),
    insert=st.binary(max_size=12),
    drop=st.integers(0, 80),
)
def test_changed_arrays_with_sound_checksums_are_refused_or_harmless(
    tmp_path, piece, position, insert, drop
):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, parts()[piece])
    data = stream.getvalue()
    changed = data[:position] + insert + data[position + drop :]
    (tmp_path / "head.npz").write_bytes(archive(**parts(**{piece: changed})))
    with contextlib.suppress(Failure):
        assert load_head(tmp_path).weights.shape[1] == 2


@FUZZ
@given(key=st.sampled_from(["version", "classes", "space", "description", "notes"]), value=values)
def test_any_value_in_the_record_is_refused_or_harmless(tmp_path, key, value):
    (tmp_path / "head.npz").write_bytes(archive(**parts(record=record(**{key: value}))))
    with contextlib.suppress(Failure):
        assert len(load_head(tmp_path).classes) == 2


@FUZZ
@given(
    start=st.integers(0, len(GOOD) - 1),
    length=st.integers(0, 64),
    to=st.integers(0, len(GOOD) - 1),
    fill=st.none() | st.binary(min_size=1, max_size=8),
)
def test_spliced_files_are_refused_or_harmless(tmp_path, start, length, to, fill):
    data = bytearray(GOOD)
    data[to : to + length] = data[start : start + length] if fill is None else fill
    (tmp_path / "head.npz").write_bytes(bytes(data))
    with contextlib.suppress(Failure):
        load_head(tmp_path)


@pytest.mark.parametrize(("dimension", "classes"), [(7, 2), (1280, 3), (4096, 2), (513, 40)])
def test_probabilities_are_the_same_bits_whatever_the_batch(dimension, classes):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((70, dimension)).astype(np.float32)
    weights = rng.standard_normal((dimension, classes)).astype(np.float32)
    names = tuple(map(str, range(classes)))
    head = Head(weights, rng.standard_normal(classes).astype(np.float32), names, "space")
    alone = np.concatenate([head.probabilities(features[n : n + 1]) for n in range(70)])
    for size in (2, 7, 32, 70):
        batches = [head.probabilities(features[n : n + size]) for n in range(0, 70, size)]
        np.testing.assert_array_equal(np.concatenate(batches), alone)
    np.testing.assert_array_equal(head.probabilities(np.asfortranarray(features)), alone)
    np.testing.assert_allclose(head.logits(features), features @ weights + head.biases, atol=1e-3)


def test_a_cache_given_as_a_head_names_its_heads(tmp_path):
    (tmp_path / "spaces").mkdir()
    with pytest.raises(Failure, match="is a cache, which has no head yet; train one"):
        load_head(tmp_path)
    for name in ("one", "two"):
        (tmp_path / "heads" / name).mkdir(parents=True)
        (tmp_path / "heads" / name / "head.npz").touch()
    heads = " and no head; its heads are .*heads/one, .*heads/two$"
    with pytest.raises(Failure, match=heads):
        load_head(tmp_path)
