"""fp32, int8 or auto: what is chosen, why, and whose the int8 model is."""

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from conftest import write_pictures, write_tiny_backbone
from onnx import TensorProto, helper

import engine.backbones.saturation
import engine.precision.choice
import engine.precision.fast_file
import engine.precision.worker
from cache.__main__ import main as cache_command
from cache.files import file_sha256
from cache.record import write_record
from cache.store import FeatureCache, space_id
from engine import export, extract, fit_head, predict
from engine.factorization.convolutions import convolutions
from engine.factorization.factorize import factorize
from engine.factorization.truth import true_answers
from engine.precision.cached_model import MODEL_NAME
from engine.precision.fast import FastForm
from engine.precision.handover import features_file, read_features
from engine.precision.paired_heads import PairedHeads
from engine.precision.parity import Parity
from engine.precision.worker import quantize_file

GOOD = Parity(20, 0.999, 0.99, 0.98, 0.02, PairedHeads(20, 1.0, 1.0, 1.0, 1.0), 10.0, 30.0)


def forbidden(*_):
    raise AssertionError("an int8 model was made again")


@pytest.fixture
def run(tiny_backbone, capsys):
    """Run the extraction of a source into a cache; return its JSON, or its one line."""

    def run_json(source, cache, *more, code=0, backbone=tiny_backbone):
        capsys.readouterr()
        own = ["--backbone", str(backbone), "--preprocessing", "caffe", "--cache", str(cache)]
        got = extract.main([str(source), *own, *map(str, more), "--json", "--quiet"])
        captured = capsys.readouterr()
        assert got == code, captured.err
        if code:
            assert (captured.out, captured.err.count("\n")) == ("", 1)
            return captured.err
        assert captured.err in ("", "warning: no image has a label\n")
        return json.loads(captured.out)

    return run_json


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"), 12)


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_backbone, pictures):
    """A cache with int8 features, made by the real commands, with a head."""
    cache = tmp_path_factory.mktemp("made") / "cache"
    own = ["--backbone", str(tiny_backbone), "--preprocessing", "caffe", "--precision", "int8"]
    assert extract.main([str(pictures), "--cache", str(cache), *own, "--quiet"]) == 0
    assert fit_head.main(["--cache", str(cache), "--no-report", "--quiet"]) == 0
    return cache


@pytest.fixture
def cache(made, tmp_path):
    """A copy of it, as one that was brought from elsewhere."""
    return shutil.copytree(made, tmp_path / "copy")


@pytest.fixture
def in_process(monkeypatch):
    """Make int8 models here, which is quicker; return how often that was."""
    calls = []

    def quantize(path, pixels, out, precision):
        calls.append(path)
        return quantize_file(path, pixels, out, precision)

    monkeypatch.setattr(engine.precision.choice, "make_model", quantize)
    return calls


def only_space(cache):
    (space,) = FeatureCache.open(cache).spaces()
    return space


def features_of(space):
    rows = {row.path: row.digest for row in space.rows()}
    digests = np.frombuffer(b"".join(rows.values()), np.uint8).reshape(-1, 32)
    return dict(zip(rows, space.index().read(digests), strict=True))


def test_int8_has_a_space_of_its_own_with_its_model_and_parity(made, run, pictures, tmp_path):
    space = only_space(made)
    quantization = space.description["quantization"]
    assert space.description["precision"] == "int8"
    assert quantization["model"] == file_sha256(space.path / MODEL_NAME)
    note = space.notes()["parity"]
    assert note["sha256"] == quantization["model"]
    assert (note["calibrated_on"], note["parity"]["images"]) == (12, 12)
    assert note["parity"]["cosine_min"] > 0.99

    result = run(pictures, tmp_path / "fp32", "--precision", "fp32")
    assert (result["precision"], result["precision_reason"]) == ("fp32", "asked for")
    wide = only_space(tmp_path / "fp32")
    assert "quantization" not in wide.description
    assert {k: v for k, v in space.description.items() if k != "quantization"} == {
        **wide.description,
        "precision": "int8",
    }
    assert not (wide.path / MODEL_NAME).exists()
    one, other = features_of(space), features_of(wide)
    assert one.keys() == other.keys()
    for path, feature in one.items():
        assert not np.array_equal(feature, other[path])
        np.testing.assert_allclose(feature, other[path], atol=0.1 * np.abs(other[path]).max())


@pytest.mark.parametrize("asked", ["int8", "auto"])
def test_a_second_run_makes_no_model_and_computes_nothing(cache, run, pictures, asked, monkeypatch):
    monkeypatch.setattr(engine.precision.choice, "make_model", forbidden)
    result = run(pictures, cache, "--precision", asked)
    assert (result["precision"], result["computed"], result["hits"]) == ("int8", 0, 24)
    assert result["precision_reason"].startswith("cosine to fp32 1.0000 mean")
    assert result["space"] == only_space(cache).id


def test_a_copied_cache_is_extended_with_the_same_model(cache, made, run, tmp_path, monkeypatch):
    monkeypatch.setattr(engine.precision.choice, "make_model", forbidden)
    more = write_pictures(tmp_path / "more", 3, seed=5)
    result = run(more, cache)
    assert (result["precision"], result["computed"]) == ("int8", 6)
    assert result["space"] == only_space(cache).id == only_space(made).id
    again = shutil.copytree(made, tmp_path / "again")
    run(more, again, "--batch-size", 1, "--threads", 3)
    one, other = features_of(only_space(cache)), features_of(only_space(again))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[path], other[path]) for path in one)


def test_fp32_can_be_had_beside_int8(cache, run, pictures):
    result = run(pictures, cache, "--precision", "fp32")
    assert (result["precision"], result["computed"]) == ("fp32", 24)
    assert len(FeatureCache.open(cache).spaces()) == 2
    assert run(pictures, cache)["precision"] == "int8"


def test_another_backbone_does_not_take_the_model(cache, run, pictures, tmp_path):
    other = write_tiny_backbone(tmp_path / "other.onnx", seed=1)
    result = run(pictures, cache, backbone=other)
    assert (result["precision"], result["computed"]) == ("fp32", 24)
    nearest = run(pictures, cache, "--interpolation", "nearest")
    assert nearest["precision"] == "fp32"


def test_auto_stays_with_fp32_where_int8_does_not_pay(run, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(engine.precision.choice, "make_model", forbidden)
    result = run(pictures, tmp_path / "cache")
    assert result["precision"] == "fp32"
    assert result["precision_reason"] == "int8 pays from 512 images on"
    monkeypatch.setattr(engine.precision.choice, "MIN_IMAGES", 16)
    again = run(pictures, tmp_path / "cache")
    assert (again["precision"], again["computed"]) == ("fp32", 0)
    assert again["precision_reason"] == "the cache has fp32 features"


def test_auto_leaves_int8_by_measurement_and_says_why(run, pictures, tmp_path, monkeypatch):
    measured = replace(GOOD, cosine_mean=0.98)
    reason = "mean cosine 0.9800 is below 0.99"

    def quantize(*arguments):
        return replace(quantize_file(*arguments), parity=measured)

    monkeypatch.setattr(engine.precision.choice, "MIN_IMAGES", 16)
    monkeypatch.setattr(engine.precision.choice, "make_model", quantize)
    cache = tmp_path / "cache"
    result = run(pictures, cache)
    assert (result["precision"], result["computed"], result["hits"]) == ("fp32", 12, 12)
    assert result["precision_reason"] == f"int8 was measured and left: {reason}"
    space = only_space(cache)
    assert not (space.path / MODEL_NAME).exists()
    assert space.notes()["precision"]["reason"] == result["precision_reason"]
    assert space.notes()["precision"]["parity"]["cosine_mean"] == measured.cosine_mean
    monkeypatch.setattr(engine.precision.choice, "make_model", forbidden)
    again = run(pictures, cache)
    assert (again["precision"], again["computed"]) == ("fp32", 0)
    assert again["precision_reason"] == result["precision_reason"]


def test_auto_takes_int8_by_measurement(run, pictures, tmp_path, monkeypatch):
    def quantize(*arguments):
        return replace(quantize_file(*arguments), parity=GOOD)

    monkeypatch.setattr(engine.precision.choice, "MIN_IMAGES", 16)
    monkeypatch.setattr(engine.precision.choice, "make_model", quantize)
    result = run(pictures, tmp_path / "cache")
    assert (result["precision"], result["precision_reason"]) == ("int8", GOOD.summary())


@pytest.mark.parametrize("taken", ["int8", "fp32"])
def test_what_was_compared_is_what_its_space_computes(run, pictures, tmp_path, monkeypatch, taken):
    """Half of the images were compared; their features are those of a cache without any."""

    def quantize(*arguments):
        measured = GOOD if taken == "int8" else replace(GOOD, cosine_mean=0.9)
        return replace(quantize_file(*arguments), parity=measured)

    monkeypatch.setattr(engine.precision.choice, "MIN_IMAGES", 16)
    monkeypatch.setattr(engine.precision.choice, "make_model", quantize)
    cache = tmp_path / "cache"
    result = run(pictures, cache)
    assert (result["precision"], result["computed"], result["hits"]) == (taken, 12, 12)
    assert sum(result[key] for key in ("computed", "hits", "duplicates")) == result["samples"]
    space = only_space(cache)
    again = shutil.copytree(cache, tmp_path / "again")
    for folder in ("parts", "datasets"):
        shutil.rmtree(again / "spaces" / space.id / folder)
    (again / "spaces" / space.id / "parts").mkdir()
    assert run(pictures, again, "--batch-size", 1)["computed"] == 24
    one, other = features_of(space), features_of(only_space(again))
    assert len(one) == 24
    assert all(np.array_equal(feature, other[path]) for path, feature in one.items())


def test_a_compared_feature_that_is_not_finite_is_left_to_the_pass(
    run, pictures, tmp_path, monkeypatch
):
    def quantize(path, pixels, out, precision):
        quantized = quantize_file(path, pixels, out, precision)
        features = read_features(features_file(out))
        features.other[3, 5] = np.nan
        features.write(features_file(out))
        return quantized

    monkeypatch.setattr(engine.precision.choice, "make_model", quantize)
    result = run(pictures, tmp_path / "cache", "--precision", "int8")
    assert (result["computed"], result["hits"]) == (13, 11)
    assert all(np.isfinite(f).all() for f in features_of(only_space(tmp_path / "cache")).values())


def test_int8_that_was_asked_for_is_taken_whatever_is_measured(
    run, pictures, tmp_path, monkeypatch, capsys, tiny_backbone
):
    bad = replace(GOOD, cosine_mean=0.5)

    def quantize(*arguments):
        return replace(quantize_file(*arguments), parity=bad)

    monkeypatch.setattr(engine.precision.choice, "make_model", quantize)
    own = ["--backbone", str(tiny_backbone), "--preprocessing", "caffe", "--precision", "int8"]
    assert extract.main([str(pictures), "--cache", str(tmp_path / "cache"), *own]) == 0
    said = capsys.readouterr().err
    assert "note: auto would not have chosen int8: mean cosine 0.5000 is below 0.99" in said
    assert "calibrating int8, once, on 12 images" in said
    assert run(pictures, tmp_path / "cache")["precision_reason"] == bad.summary()


def test_too_few_images_are_one_line_and_auto_does_without(run, tmp_path):
    few = write_pictures(tmp_path / "few", 7)
    line = run(few, tmp_path / "cache", "--precision", "int8", code=1)
    assert "int8 needs 16 different images to calibrate on" in line
    assert FeatureCache.open(tmp_path / "cache").spaces() == []
    assert run(few, tmp_path / "cache")["precision"] == "fp32"


def test_auto_does_without_int8_where_few_of_many_images_decode(run, tmp_path, monkeypatch):
    monkeypatch.setattr(engine.precision.choice, "MIN_IMAGES", 14)
    result = run(write_pictures(tmp_path / "few", 7), tmp_path / "cache")
    assert result["precision"] == "fp32"
    assert "fewer than 16 different images" in result["precision_reason"]


def test_a_packed_archive_gives_the_space_that_its_folder_gives(
    made, run, pictures, tmp_path, in_process
):
    archive = shutil.make_archive(str(tmp_path / "pictures"), "gztar", pictures)
    result = run(archive, tmp_path / "cache", "--precision", "int8")
    assert (result["computed"], result["hits"], len(in_process)) == (12, 12, 1)
    assert result["space"] == only_space(made).id
    one, other = features_of(only_space(tmp_path / "cache")), features_of(only_space(made))
    assert all(np.array_equal(feature, other[path]) for path, feature in one.items())


def test_images_without_labels_have_no_heads_to_compare(run, pictures, tmp_path, in_process):
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, file in enumerate(sorted(pictures.rglob("*.jpg"))):
        shutil.copy(file, flat / f"{number}.jpg")
    result = run(flat, tmp_path / "cache", "--precision", "int8")
    assert (result["precision"], result["computed"], len(in_process)) == ("int8", 12, 1)
    assert "too few labels to compare heads" in result["precision_reason"]
    assert only_space(tmp_path / "cache").notes()["parity"]["parity"]["head"] is None


# Fewer multiplications, which are asked for by name alone.


@pytest.fixture
def fast(monkeypatch):
    """Make fast forms of known ranks, here; timing chooses them otherwise. Return their calls."""
    calls = []

    def form(known, *_):
        model, pixels, truth = known
        calls.append(len(pixels))
        ranks = dict.fromkeys(list(convolutions(model))[1:], 8)
        return FastForm(factorize(model, ranks, pixels, truth), ranks, 0.01, 0.5)

    def quantize(path, pixels, out, precision):
        return quantize_file(path, pixels, out, precision)

    def survey(model, pixels):
        return model, pixels, true_answers(model, pixels, len(pixels))

    monkeypatch.setattr(engine.precision.fast_file, "survey", survey)
    monkeypatch.setattr(engine.precision.fast_file, "fast_form", form)
    monkeypatch.setattr(engine.precision.fast_file, "holds", lambda *_: True)
    monkeypatch.setattr(engine.precision.choice, "make_model", quantize)
    return calls


@pytest.mark.parametrize("pays", [True, False])
def test_fast_has_a_space_of_its_own_that_says_its_ranks(
    cache, made, run, pictures, tmp_path, monkeypatch, fast, pays, capsys
):
    """Beside int8, which `auto` goes on with; int8 itself where that pays on this CPU."""
    reasons = [] if pays else ["it does not pay"]
    monkeypatch.setattr(engine.precision.fast_file, "objections_to", lambda _: reasons)
    int8 = only_space(cache).id
    result = run(pictures, cache, "--precision", "fast")
    assert (result["precision"], len(fast)) == ("fast", 1)
    assert result["computed"] + result["hits"] == 24
    space = next(s for s in FeatureCache.open(cache).spaces() if s.id == result["space"])
    assert list(space.description["factorization"]["ranks"].values()) == [8]
    levels = space.description["quantization"]["levels"]
    assert levels == (only_space(made).description["quantization"]["levels"] if pays else None)
    assert space.notes()["parity"]["ranks"] == space.description["factorization"]["ranks"]
    kinds = {c.data_type for c in onnx.load(space.path / MODEL_NAME).graph.initializer}
    assert (TensorProto.INT8 in kinds) == pays

    again = run(pictures, cache, "--precision", "fast")
    assert (again["space"], again["computed"], len(fast)) == (space.id, 0, 1)
    assert run(pictures, cache)["space"] == int8
    assert run(pictures, cache, "--precision", "int8")["space"] == int8

    # The model goes with the cache, and a head on its features predicts by it.
    copy = shutil.copytree(cache, tmp_path / "elsewhere")
    more = write_pictures(tmp_path / "more", 3, seed=5)
    assert run(more, copy, "--precision", "fast")["computed"] == 6
    head = tmp_path / "head"
    own = ["--space", space.id, "--out", str(head), "--no-report", "--quiet"]
    assert fit_head.main(["--cache", str(cache), *own]) == 0
    monkeypatch.setenv("ONCEOVER_MODELS", str(tmp_path / "none"))
    capsys.readouterr()
    found = predict.main([str(pictures), "--head", str(head), "--cache", str(copy), "--json"])
    assert found == 0
    labels = [entry["label"] for entry in json.loads(capsys.readouterr().out)]
    assert labels == ["spots"] * 12 + ["stripes"] * 12


@pytest.mark.usefixtures("fast")
def test_auto_never_takes_fast(run, pictures, tmp_path):
    result = run(pictures, tmp_path / "cache", "--precision", "fast")
    assert result["precision"] == "fast"
    assert run(pictures, tmp_path / "cache")["precision"] == "fp32"


@pytest.mark.usefixtures("fast")
def test_a_network_of_which_nothing_can_be_split_is_one_line(run, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(engine.precision.fast_file, "fast_form", lambda *_: None)
    line = run(pictures, tmp_path / "cache", "--precision", "fast", code=1)
    assert "can be split at a gain in speed that its features allow" in line
    assert FeatureCache.open(tmp_path / "cache").spaces() == []


# What may have become of the model, or what a stranger may have put in its place.


def test_a_damaged_model_is_refused_and_nothing_is_lost(cache, made, run, pictures, tmp_path):
    model = only_space(cache).path / MODEL_NAME
    sound = model.read_bytes()
    parts = sorted(only_space(cache).path.glob("parts/*"))
    more = write_pictures(tmp_path / "more", 2, seed=5)
    for damage in (sound[:-100], sound[:500] + b"x" + sound[501:], b"", b"no model"):
        model.write_bytes(damage)
        line = run(more, cache, code=1)
        assert f"{model} is damaged" in line
        assert "put a copy of the model back" in line
        assert "delete" not in line
        assert run(pictures, cache)["hits"] == 24  # what is cached needs no model
    assert sorted(only_space(cache).path.glob("parts/*")) == parts
    assert features_of(only_space(cache)).keys() == features_of(only_space(made)).keys()
    model.write_bytes(sound)
    assert run(more, cache)["computed"] == 4


def test_a_link_is_refused(cache, run, pictures, tmp_path):
    model = only_space(cache).path / MODEL_NAME
    model.rename(tmp_path / "elsewhere.onnx")
    try:
        model.symlink_to(tmp_path / "elsewhere.onnx")
    except OSError:
        pytest.skip("no links for this user")
    assert "is a link, which is refused" in run(pictures, cache, code=1)


def replaced(cache, change):
    """Put another model into a cache's space, and name it in the description, as a stranger may."""
    space = only_space(cache)
    model = onnx.load(space.path / MODEL_NAME)
    change(model)
    (space.path / MODEL_NAME).write_bytes(model.SerializeToString())
    described(
        cache,
        {
            **space.description,
            "quantization": {
                **space.description["quantization"],
                "model": file_sha256(space.path / MODEL_NAME),
            },
        },
    )


def described(cache, description):
    """Give a cache's only space another description, and the id that belongs to it."""
    space = only_space(cache)
    record = {"description": description, "dimension": space.dimension}
    write_record(space.path / "space.json", "space", record)
    shutil.rmtree(space.path / "parts")  # they name the old space
    (space.path / "parts").mkdir()
    space.path.rename(space.path.with_name(space_id(description)))


def outside(model):
    constant = model.graph.initializer[0]
    constant.data_location = TensorProto.EXTERNAL
    constant.external_data.add(key="location", value="elsewhere")


def outside_beside_the_values(model):
    model.graph.initializer[0].external_data.add(key="prepacked", value="somewhere|0|9")


def outside_in_a_node(model):
    node = helper.make_node("Constant", [], ["more"], value=TensorProto(name="t", data_type=1))
    node.attribute[0].t.data_location = TensorProto.EXTERNAL
    node.attribute[0].t.external_data.add(key="location", value="elsewhere")
    model.graph.node.append(node)


def subgraph(model):
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=inner))


def function(model):
    model.functions.append(onnx.FunctionProto(name="f", domain="d"))


def sparse(model):
    model.graph.sparse_initializer.append(onnx.SparseTensorProto())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (outside, "keeps weights in other files, which is refused"),
        (outside_beside_the_values, "keeps weights in other files, which is refused"),
        (outside_in_a_node, "keeps weights in other files, which is refused"),
        (subgraph, "is not a model that Onceover wrote; it is refused"),
        (function, "is not a model that Onceover wrote; it is refused"),
        (sparse, "is not a model that Onceover wrote; it is refused"),
    ],
)
def test_a_strangers_model_is_refused(cache, run, pictures, change, message):
    replaced(cache, change)
    assert message in run(pictures, cache, code=1)


@pytest.mark.parametrize(
    "quantization", [None, 7, "x", [], {}, {"levels": 127}, {"levels": "many", "model": "x"}]
)
def test_a_space_that_does_not_name_its_model_is_refused(cache, run, pictures, quantization):
    described(cache, {**only_space(cache).description, "quantization": quantization})
    assert "does not say which model it has" in run(pictures, cache, code=1)


def test_notes_that_are_none_do_no_harm(cache, run, pictures):
    for note in ({"summary": 3}, {"parity": []}, {}):
        only_space(cache).write_note("parity", note)
        assert run(pictures, cache)["precision"] == "int8"


def test_weights_that_this_cpu_does_not_take_are_refused(
    cache, run, pictures, monkeypatch, tmp_path
):
    more = write_pictures(tmp_path / "more", 2, seed=5)
    levels = only_space(cache).description["quantization"]["levels"]
    monkeypatch.setattr(engine.backbones.saturation, "weight_levels", lambda: levels - 1)
    line = run(more, cache, code=1)
    assert f"weights up to {levels}, with which this CPU's sums saturate" in line
    assert run(pictures, cache)["hits"] == 24  # what is cached needs no sums
    monkeypatch.setattr(engine.backbones.saturation, "weight_levels", lambda: 127)
    assert run(more, cache)["computed"] == 4


@pytest.mark.parametrize("others", [8, 20])
def test_of_two_models_the_one_with_more_features_goes_on(
    cache, run, tmp_path, in_process, capsys, others
):
    """A merge of two caches that were calibrated on different images."""
    more = write_pictures(tmp_path / "more", others, seed=5)
    own = only_space(cache).id
    other = run(more, tmp_path / "other", "--precision", "int8")["space"]
    assert cache_command(["merge", str(cache), str(tmp_path / "other")]) == 0
    assert {space.id for space in FeatureCache.open(cache).spaces()} == {own, other}
    capsys.readouterr()
    result = run(more, cache)
    assert result["space"] == (other if others > 12 else own)
    assert (result["hits"], len(in_process)) == (2 * others if others > 12 else 0, 1)


def test_a_merged_cache_goes_on_with_the_model(cache, made, run, tmp_path, monkeypatch, capsys):
    target = tmp_path / "target"
    FeatureCache.create(target)
    assert cache_command(["merge", str(target), str(made)]) == 0
    capsys.readouterr()
    space = only_space(target)
    assert file_sha256(space.path / MODEL_NAME) == space.description["quantization"]["model"]
    monkeypatch.setattr(engine.precision.choice, "make_model", forbidden)
    more = write_pictures(tmp_path / "more", 3, seed=5)
    result = run(more, target, "--precision", "int8")
    assert (result["space"], result["computed"]) == (only_space(made).id, 6)
    assert run(more, cache)["computed"] == 6
    one, other = features_of(only_space(target)), features_of(only_space(cache))
    assert all(np.array_equal(one[path], other[path]) for path in one)


def test_a_file_that_is_int8_stays_int8(cache, run, pictures, tmp_path):
    file = tmp_path / "int8.onnx"
    shutil.copy(only_space(cache).path / MODEL_NAME, file)
    result = run(pictures, tmp_path / "new", backbone=file)
    assert (result["precision"], result["precision_reason"]) == (
        "int8",
        "the backbone's file is int8",
    )
    line = run(pictures, tmp_path / "new", "--precision", "fp32", backbone=file, code=2)
    assert "the backbone's file is int8; give its fp32 file" in line


# Heads on int8 features.


def test_a_head_on_int8_predicts_with_the_model_of_the_cache(
    cache, made, pictures, capsys, monkeypatch, tmp_path
):
    capsys.readouterr()
    (head,) = (cache / "heads").iterdir()
    monkeypatch.setenv("ONCEOVER_MODELS", str(tmp_path / "none"))

    def names_cache(folder, path):
        metrics = json.loads((folder / "metrics.json").read_text())
        (folder / "metrics.json").write_text(json.dumps({**metrics, "cache": str(path)}))

    names_cache(head, tmp_path / "elsewhere")  # where the cache was before it was brought here

    def predicted(*arguments, code=0):
        got = predict.main([*map(str, arguments), "--json", "--quiet"])
        captured = capsys.readouterr()
        assert got == code, captured.err
        return captured.err if code else json.loads(captured.out)

    found = predicted(pictures, "--head", head)
    assert [entry["label"] for entry in found] == ["spots"] * 12 + ["stripes"] * 12
    space = only_space(cache)
    trained = np.load(head / "head.npz")
    features = features_of(space)
    logits = np.stack([features[p] for p in sorted(features)]) @ trained["weights"]
    logits = logits + trained["biases"]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    got = [list(entry["probabilities"].values()) for entry in found]
    np.testing.assert_allclose(got, shares, atol=1e-5)

    model = space.path / MODEL_NAME
    moved = shutil.copytree(head, tmp_path / "moved")
    assert predicted(pictures, "--head", moved, "--cache", cache) == found
    assert "give the cache that the head" in predicted(pictures, "--head", moved, code=1)
    names_cache(moved, cache)
    assert predicted(pictures, "--head", moved) == found
    model.write_bytes(model.read_bytes()[:-50])
    assert "is damaged" in predicted(pictures, "--head", head, code=1)
    assert predicted(pictures, "--head", head, "--cache", made) == found  # a sound copy
    model.unlink()
    assert "give the cache that the head" in predicted(pictures, "--head", head, code=1)


def test_a_head_on_int8_is_exported_whole(cache, pictures, capsys, tmp_path, monkeypatch):
    import onnxruntime

    from engine.images.decode import decode

    monkeypatch.setenv("ONCEOVER_MODELS", str(tmp_path / "none"))
    (head,) = (cache / "heads").iterdir()
    capsys.readouterr()
    out = tmp_path / "classifier.onnx"
    assert export.main(["--head", str(head), "--out", str(out), "--json", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["precision"] == "int8"
    assert result["quantization"] == only_space(cache).description["quantization"]
    files = sorted(pictures.rglob("*.jpg"))
    pixels = np.stack([decode(file.read_bytes(), (32, 32), "bilinear") for file in files])
    (found,) = onnxruntime.InferenceSession(out).run(["probabilities"], {"images": pixels})
    assert predict.main([str(pictures), "--head", str(head), "--json", "--quiet"]) == 0
    entries = json.loads(capsys.readouterr().out)
    expected = [list(entry["probabilities"].values()) for entry in entries]
    np.testing.assert_allclose(found, expected, atol=1e-5)
