"""python -m engine.extract, from pictures to a cache, in this process and in real ones."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile

import numpy as np
import pytest
from conftest import write_pictures, write_tiny_backbone
from PIL import Image

from cache.failures import Interrupted
from cache.store import FeatureCache
from engine import extract
from engine.images.resize import resize
from engine.runner import extract as extraction

KEYS = [
    *("source", "space", "backbone", "precision", "precision_reason", "classes", "splits"),
    *("samples", "ignored", "ignored_kinds", "computed", "hits", "duplicates", "rejected"),
    *("seconds", "images_per_second", "stages"),
]


@pytest.fixture
def run(options, capsys):
    """Run the command on a source; return its JSON."""

    def run_json(source, *more):
        code = extract.main([str(source), *options, *map(str, more), "--json", "--quiet"])
        captured = capsys.readouterr()
        assert (code, captured.err) == (0, "")
        return json.loads(captured.out)

    return run_json


def features_of(cache, space_id=None):
    """Return path -> feature of each cached row of a space."""
    spaces = {space.id: space for space in FeatureCache.open(cache).spaces()}
    space = spaces[space_id] if space_id else next(iter(spaces.values()))
    rows = [row for row in space.rows() if row.status == "cached"]
    digests = np.frombuffer(b"".join(row.digest for row in rows), np.uint8).reshape(-1, 32)
    return dict(zip((row.path for row in rows), space.index().read(digests), strict=True))


def assert_identical(one, other):
    assert one.keys() == other.keys()
    for path in one:
        np.testing.assert_array_equal(one[path], other[path])


def counts(result):
    return result["computed"], result["hits"], result["duplicates"], len(result["rejected"])


def test_the_json_has_the_keys_of_the_contract(run, pictures):
    result = run(pictures)
    assert list(result) == KEYS
    assert list(result["stages"]) == ["read", "decode", "infer", "write"]
    assert all(seconds > 0 for seconds in result["stages"].values())
    assert result["source"] == str(pictures)
    assert (result["backbone"], result["precision"]) == ("onnx", "fp32")
    assert (result["samples"], result["ignored"], counts(result)) == (24, 0, (24, 0, 0, 0))


def test_a_second_run_computes_nothing(run, pictures, tmp_path, monkeypatch):
    first = run(pictures)
    features = features_of(tmp_path / "cache")

    def loaded(_):
        raise AssertionError("loaded")

    monkeypatch.setattr(extraction, "Backbone", loaded)
    second = run(pictures)
    assert counts(second) == (0, 24, 0, 0)
    assert second["space"] == first["space"]
    assert_identical(features_of(tmp_path / "cache"), features)


def test_names_labels_and_duplicates_compute_nothing_and_changed_bytes_that_one(
    run, pictures, tmp_path
):
    run(pictures)
    (pictures / "spots" / "0.jpg").rename(pictures / "spots" / "renamed.jpg")
    (pictures / "spots" / "1.jpg").rename(pictures / "stripes" / "moved.jpg")
    shutil.copy(pictures / "spots" / "2.jpg", pictures / "spots" / "copy.jpg")
    assert counts(run(pictures)) == (0, 24, 1, 0)
    labels = {
        row.path: row.label for row in FeatureCache.open(tmp_path / "cache").spaces()[0].rows()
    }
    assert labels["stripes/moved.jpg"] == "stripes"
    assert "spots/0.jpg" not in labels
    before = features_of(tmp_path / "cache")
    path = pictures / "spots" / "3.jpg"
    path.write_bytes((pictures / "spots" / "4.jpg").read_bytes()[:-2] + b"\xff\xd9tail")
    assert counts(run(pictures)) == (1, 23, 1, 0)
    after = features_of(tmp_path / "cache")
    np.testing.assert_array_equal(after["spots/4.jpg"], before["spots/4.jpg"])
    assert not np.array_equal(after["spots/3.jpg"], before["spots/3.jpg"])


@pytest.mark.parametrize(
    "more", [("--batch-size", 1, "--threads", 1), ("--batch-size", 7, "--threads", 3),
             ("--batch-size", 64, "--threads", 8), ("--seed", 5)]
)  # fmt: skip
def test_bits_do_not_depend_on_batches_threads_and_order(run, pictures, tmp_path, more):
    run(pictures)
    wanted = features_of(tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache")
    run(pictures, *more)
    assert_identical(features_of(tmp_path / "cache"), wanted)


@pytest.mark.slow
def test_another_space_never_returns_this_ones_vectors(run, pictures, tmp_path):
    other = write_tiny_backbone(tmp_path / "other.onnx", seed=1)
    results = [
        run(pictures),
        run(pictures, "--backbone", other),
        run(pictures, "--preprocessing", "none"),
        run(pictures, "--interpolation", "nearest"),
        run(pictures, "--interpolation", "lanczos"),
        run(pictures, "--crop", "center"),
    ]
    assert [result["computed"] for result in results] == [24] * 6
    spaces = [result["space"] for result in results]
    assert len(set(spaces)) == 6
    vectors = [features_of(tmp_path / "cache", space)["spots/0.jpg"] for space in spaces]
    assert len({vector.tobytes() for vector in vectors}) == 6
    assert run(pictures)["hits"] == 24
    assert run(pictures, "--crop", "squash")["hits"] == 24
    assert run(pictures, "--crop", "center")["hits"] == 24


def test_each_sample_is_accounted_for(run, pictures):
    (pictures / "spots" / "empty.jpg").write_bytes(b"")
    (pictures / "spots" / "cut.jpg").write_bytes((pictures / "spots" / "0.jpg").read_bytes()[:400])
    (pictures / "spots" / "text.png").write_text("no image")
    (pictures / "spots" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (pictures / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    shutil.copy(pictures / "spots" / "5.jpg", pictures / "spots" / "no-extension")
    result = run(pictures)
    assert counts(result) == (24, 0, 1, 3)
    assert result["samples"] == 28 == sum(counts(result))
    assert result["ignored"] == 2
    reasons = {entry["path"]: entry["reason"] for entry in result["rejected"]}
    assert reasons["spots/empty.jpg"] == "the file is empty"
    assert reasons["spots/cut.jpg"].startswith("damaged JPEG")
    assert reasons["spots/text.png"].startswith("not an image of a known format")
    assert counts(run(pictures)) == (0, 24, 1, 3)


def test_archives_and_tables_give_the_same_features(run, pictures, tmp_path):
    run(pictures)
    wanted = features_of(tmp_path / "cache")
    names = sorted(wanted)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.write(pictures / name, name)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for name in names:
            archive.add(pictures / name, name)
    lines = [f"{pictures / name},{name.split('/')[0]}" for name in names]
    (tmp_path / "a.csv").write_text("\n".join(["path,label", *lines]))
    for name in ("a.zip", "a.tar.gz", "a.csv"):
        cache = tmp_path / f"cache of {name}"
        result = run(tmp_path / name, "--cache", cache)
        assert counts(result) == (24, 0, 0, 0)
        got = {"/".join(p.split("/")[-2:]): v for p, v in features_of(cache).items()}
        assert_identical(got, wanted)


def test_a_stratified_sample_only_adds(run, pictures):
    assert counts(run(pictures, "--limit-per-class", 3)) == (6, 0, 0, 0)
    assert counts(run(pictures, "--fraction", 0.5)) == (6, 6, 0, 0)
    assert counts(run(pictures)) == (12, 12, 0, 0)


def test_a_cache_stopped_half_way_is_a_fair_sample(tmp_path, tiny_backbone, monkeypatch):
    folder = write_pictures(tmp_path / "p", 20)
    orders = []

    def seen(survey, *_):
        orders.append(survey.samples)
        raise Interrupted("seen")

    monkeypatch.setattr(extraction, "run_pass", seen)
    arguments = [str(folder), "--cache", str(tmp_path / "c"), "--backbone", str(tiny_backbone)]
    arguments += ["--preprocessing", "tf", "--precision", "fp32"]
    assert extract.main(arguments) == 130
    (order,) = orders
    for end in range(2, 41):
        labels = [sample.label for sample in order[:end]]
        assert abs(labels.count("spots") - labels.count("stripes")) <= 1
    assert [sample.path for sample in order] != sorted(sample.path for sample in order)


def test_a_file_that_changes_meanwhile_has_the_feature_of_its_digest(run, pictures, tmp_path):
    """Bytes are read once: whatever was read has its own digest and its own feature."""
    from engine.sources import folder

    read, swapped = folder.read_file, []
    path = pictures / "spots" / "0.jpg"

    def swapping(file):
        data = read(file)
        if file == path and not swapped:
            swapped.append(1)
            path.write_bytes((pictures / "stripes" / "0.jpg").read_bytes())
        return data

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder, "read_file", swapping)
        run(pictures)
    before = features_of(tmp_path / "cache")
    assert not np.array_equal(before["spots/0.jpg"], before["stripes/0.jpg"])
    assert counts(run(pictures)) == (0, 23, 1, 0)
    after = features_of(tmp_path / "cache")
    np.testing.assert_array_equal(after["spots/0.jpg"], before["stripes/0.jpg"])


def test_people_get_a_summary_and_reasons(options, pictures, capsys):
    (pictures / "spots" / "bad\n.jpg").write_bytes(b"")
    assert extract.main([str(pictures), *options]) == 0
    captured = capsys.readouterr()
    assert (
        "25 images: 24 computed, 0 already in the cache, 0 duplicates, 1 rejected" in captured.out
    )
    assert "python -m engine.fit_head --cache" in captured.out
    (line,) = [line for line in captured.err.splitlines() if line.startswith("rejected ")]
    assert line.endswith(": the file is empty")
    assert extract.main([str(pictures), *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hits"] == 24


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 1, "there is no nowhere"),
        (["PICTURES", "--batch-size", "0"], 2, "0 is not a positive number"),
        (["PICTURES", "--fraction", "1.5"], 2, "1.5 is not above 0 and at most 1"),
        (["PICTURES", "--fraction", "nan"], 2, "nan is not above 0 and at most 1"),
        (["PICTURES", "--backbone", "alexnet"], 2, "backbone alexnet: did you mean"),
        (["PICTURES", "--layer", "fc2"], 2, "no output 'fc2'; it has: pooled"),
        (["PICTURES", "--interpolation", "cubic"], 2, "invalid choice: 'cubic'"),
    ],
)
def test_exit_codes_and_one_line(options, pictures, capsys, arguments, code, message):
    given = [str(pictures) if a == "PICTURES" else a for a in arguments]
    try:
        got = extract.main([given[0], *options, *given[1:], "--json", "--quiet"])
    except SystemExit as leaving:
        got = leaving.code
    captured = capsys.readouterr()
    assert (got, captured.out) == (code, "")
    (line,) = captured.err.splitlines()
    assert message in line


# Runs the command with a slow network, so that there is a middle to stop in.
SLOW = """
import sys, time
from engine.backbones import backbone
from engine import extract
from engine.runner import step
step.PART_SECONDS = 0.2
features = backbone.Backbone.features
def slow(self, pixels):
    time.sleep(0.03)
    return features(self, pixels)
backbone.Backbone.features = slow
sys.exit(extract.main())
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to one process")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGKILL"])
@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_features(run, options, tmp_path, number):
    folder = write_pictures(tmp_path / "many", 100)
    run(folder, "--cache", tmp_path / "whole")
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(folder), *options, "--batch-size", "2", "--threads", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not list((tmp_path / "cache").glob("**/parts/*.h5")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(getattr(signal, number))
    out, err = process.communicate(timeout=30)
    if number == "SIGKILL":
        assert process.returncode == -9
    else:
        assert process.returncode == 130
        assert out == ""
        assert "Traceback" not in err
        assert "of 200 images are done and kept, run the same command again" in err
    (space,) = FeatureCache.open(tmp_path / "cache").spaces()
    kept = len(space.index())
    assert 0 < kept < 200
    result = run(folder)
    assert (result["hits"], result["computed"]) == (kept, 200 - kept)
    assert_identical(features_of(tmp_path / "cache"), features_of(tmp_path / "whole"))


IMPORTS = """
import sys
from engine import extract
from engine import fit_head
source, cache, backbone = sys.argv[1:]
options = ["--backbone", backbone, "--preprocessing", "tf", "--precision", "fp32"]
assert extract.main([source, "--cache", cache, *options, "--quiet"]) == 0
assert fit_head.main(["--cache", cache, "--quiet"]) == 0
from engine.backbones.backbone import Backbone
from engine.heads.head import load_head
from engine.images.decode import decode
heavy = {"tensorflow", "keras", "tf2onnx"} & set(sys.modules)
assert not heavy, heavy
print("none of them")
"""


def test_no_tensorflow_after_extract_and_fit_head(run, pictures, tiny_backbone, tmp_path):
    run(pictures)  # the model is exported
    finished = subprocess.run(
        [sys.executable, "-c", IMPORTS, pictures, tmp_path / "cache", tiny_backbone],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == "none of them"


@pytest.mark.parametrize("module", ["engine.extract", "engine.export", "engine.fit_head"])
def test_help_imports_nothing_that_takes_time(module):
    code = (
        f"import sys; from {module} import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'onnxruntime', 'onnx', 'h5py', 'PIL', 'tqdm', 'sklearn'}"
        " & set(sys.modules)))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "example:" in finished.stdout
    assert finished.stdout.splitlines()[-1] == "[]"


def test_pixels_reach_the_network_resized_and_preprocessed(run, tmp_path, tiny_backbone):
    """From file to feature by hand: decode, resize, preprocess, the network."""
    import onnxruntime

    folder = write_pictures(tmp_path / "p", 2)
    run(folder)
    session = onnxruntime.InferenceSession(tiny_backbone)
    for path, feature in features_of(tmp_path / "cache").items():
        image = Image.open(io.BytesIO((folder / path).read_bytes()))
        pixels = resize(image, (32, 32), "bilinear").astype(np.float32)
        x = np.ascontiguousarray((pixels / 127.5 - 1).transpose(2, 0, 1)[None])
        (wanted,) = session.run(None, {"image": x})
        np.testing.assert_allclose(feature, wanted[0], rtol=1e-4, atol=1e-5)


def test_a_user_who_is_not_there_has_no_home_folder_and_it_is_one_line(
    pictures, tiny_backbone, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    nobody = "~no_such_user_of_this_machine"
    backbone = ["--backbone", str(tiny_backbone), "--preprocessing", "none", "--quiet"]
    assert extract.main([str(pictures), f"--cache={nobody}", *backbone, "--precision", "fp32"]) == 0
    assert (tmp_path / nobody).is_dir()  # as a shell has it
    assert extract.main([f"{nobody}/photos", "--cache", "c", *backbone]) == 1
    assert capsys.readouterr().err.count("\n") == 1
