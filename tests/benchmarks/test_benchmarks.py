"""benchmarks: their arithmetic, their inputs, their records; that they run is CI's quick run."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import write_pictures
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import augmentation, page, preprocessing, speeds
from benchmarks.baselines import keras_network
from benchmarks.comparison.agreement import compared
from benchmarks.comparison.chart import warm_seconds
from benchmarks.comparison.sooner import sooner
from benchmarks.comparison.times import (
    Cached,
    all_in_ratios,
    cached_times,
    end_to_end_times,
    ratios,
    schedule,
    two_classes,
)
from benchmarks.inputs.orders import in_turn, steady_after
from benchmarks.inputs.photographs import draw, repeated, unpack, usable
from benchmarks.inputs.synthetic import make_cache, write_tiny_onnx
from benchmarks.measuring.legs import Legs
from benchmarks.measuring.limit import flops_per_image
from benchmarks.measuring.machine import ROOT, environment, machine, versions
from benchmarks.measuring.process import python, run
from benchmarks.measuring.record import RESULTS, read_record, record, table, write_record
from benchmarks.product import CachedFeatures
from benchmarks.readme import with_speed
from cache.failures import Failure, Interrupted
from cache.store import FeatureCache
from engine.backbones.architectures import ARCHITECTURES
from engine.backbones.model import METADATA_KEY
from engine.backbones.request import backbone_request
from engine.export import main as export_main
from engine.extract import main as extract_main
from engine.heads.adam import Recipe
from engine.heads.open_features import open_features
from engine.images.decode import decode
from engine.sources.open import open_source

SCRIPTS = sorted(
    ".".join(path.relative_to(ROOT / "benchmarks").with_suffix("").parts)
    for path in (ROOT / "benchmarks").rglob("*.py")
    if "_parser(" in path.read_text(encoding="utf-8") and path.stem != "options"
)
RECORDS = sorted(RESULTS.glob("*.json"))


def silent(line):
    del line


# The arithmetic of the comparison.


def test_the_report_needs_43240_backbone_passes():
    plan = schedule([2500, 2499], epochs=10, batch_size=128)
    assert (plan.train, plan.validation, plan.test) == (3499, 750, 750)
    assert plan.backbone_passes == 43_240
    assert plan.distinct == 4_999


@FUZZ
@given(st.integers(20, 2000), st.integers(1, 30))
def test_phases_add_up_to_all_passes(images, epochs):
    plan = two_classes(images, epochs, 16)
    assert plan.distinct == images
    assert plan.backbone_passes == epochs * (plan.train + plan.validation) + plan.test


def measurements(per_image, fit_seconds, start=1.0, images=100):
    entry = {"seconds": fit_seconds}
    return {
        "ready": {"seconds": start, "report": {"computed": 0}},
        "cold": {
            "seconds": start + per_image * images,
            "report": {"computed": images},
            "sampled": False,
        },
        "again": [{"seconds": start}],
        "fit_adam": [entry, {"seconds": 2 * fit_seconds}, entry],
        "fit_adam_100": {"seconds": fit_seconds + 90 * 0.001},
    }


def keras_phases(seconds_per_image):
    phases = {
        phase: {"seconds_per_image": seconds_per_image} for phase in ("train", "validation", "test")
    }
    return {"phases": phases, "batch_size": 128}


def test_ratios_are_quotients_of_whole_times():
    end_to_end = end_to_end_times(keras_phases(0.1))
    found = ratios(end_to_end, measurements(0.1, 0.5), images=100, epochs=10)
    plan = two_classes(100, 10, 128)
    assert found["end_to_end_seconds"] == pytest.approx(0.1 * plan.backbone_passes)
    assert found["cold_seconds"] == pytest.approx(1 + 10 + 0.5)
    assert found["warm"] == pytest.approx(found["end_to_end_seconds"] / 0.5)
    assert found["cold"] == pytest.approx(found["end_to_end_seconds"] / 11.5)


def test_all_in_counts_the_choice_of_the_precision_and_the_export():
    end_to_end = end_to_end_times(keras_phases(0.1))
    runs = {
        "extract": {"seconds": 40.0, "report": {"precision": "int8"}},
        "fit": {"seconds": 2.0},
    }
    plan = two_classes(100, 10, 128)
    whole = 0.1 * plan.backbone_passes
    assert all_in_ratios(end_to_end, runs, {"seconds": 8.0}, plan) == {
        "precision": "int8",
        "seconds": 42.0,
        "exported_seconds": 50.0,
        "times_faster": pytest.approx(whole / 42),
        "exported_times_faster": pytest.approx(whole / 50),
    }


def clusters(count, apart):
    """Features of two classes so far apart, in the order of nothing."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    features = rng.standard_normal((count, 20)).astype(np.float32)
    features[:, 0] += apart * labels
    return CachedFeatures(features, labels, ("a", "b"), "space")


def test_the_first_sufficient_epoch_is_the_earliest_near_the_last_ones_accuracy():
    held = clusters(600, 4.0)
    report = {"computed": 270, "images_per_second": 30.0, "steady": {"images": 300}}
    runs = {"extract": {"seconds": 8.0, "report": report}, "fit": {"seconds": 2.0}}
    found = sooner(end_to_end_times(keras_phases(0.1)), runs, held, Recipe(4, 32))
    after, enough = found["end_to_end_accuracy"], found["sufficient_epoch"]
    assert len(after) == 4
    assert after[enough - 1] >= after[-1] - 0.005
    assert all(accuracy < after[-1] - 0.005 for accuracy in after[: enough - 1])
    assert found["times_faster"] == pytest.approx(
        0.1 * two_classes(600, 4, 32).backbone_passes / 10
    )
    assert found["times_faster_than_sufficient"] <= found["times_faster"]
    further = np.mean(found["steady_images"]) - 300
    assert found["average_seconds"] == pytest.approx(10 + further / 30)
    assert found["steady_accuracy"] > 0.95
    assert all(200 <= count <= 510 for count in found["steady_images"])


def test_an_order_stops_early_only_where_nothing_more_is_learnt():
    easy, hard = clusters(800, 12.0), clusters(800, 0.3)
    assert steady_after(easy.features, easy.labels, 0, 0.5) == 356
    assert steady_after(hard.features[:, 1:], hard.labels, 0, 0.01) == 800
    order = in_turn(easy.labels, np.arange(800), np.random.default_rng(0))
    assert sorted(order) == list(range(800))
    assert all(abs(easy.labels[order[:n]].sum() - n / 2) <= 0.5 for n in range(2, 800))


def test_a_sample_is_extrapolated_by_images():
    runs = measurements(0.1, 0.5)
    runs["cold"]["sampled"] = True
    found = ratios(end_to_end_times(keras_phases(0.1)), runs, images=1000, epochs=10)
    assert found["cold_extrapolated"]
    assert found["cold_seconds"] == pytest.approx(1 + 100 + 0.5)


def test_lines_cross_where_the_times_are_equal():
    end_to_end = end_to_end_times(keras_phases(0.01))
    runs = measurements(0.01, 0.5)
    found = ratios(end_to_end, runs, images=1000, epochs=10)
    times, least = cached_times(runs), found["images_where_cold_wins"]
    assert times.cold(least, 10) < end_to_end.seconds(least, 10)
    assert times.cold(least - 1, 10) >= end_to_end.seconds(least - 1, 10)
    epochs = found["epochs_where_cold_wins"]
    assert times.cold(1000, int(epochs) + 1) < end_to_end.seconds(1000, int(epochs) + 1)
    assert times.cold(1000, int(epochs)) >= end_to_end.seconds(1000, int(epochs))


def test_no_crossing_where_the_cached_way_is_always_slower():
    found = ratios(end_to_end_times(keras_phases(1e-6)), measurements(1.0, 0.5), 1000, 10)
    assert found["images_where_cold_wins"] is None


def test_times_of_a_fit_are_a_line_over_epochs():
    times = cached_times(measurements(0.1, 0.5))
    assert times.per_epoch == pytest.approx(0.001)
    assert times.warm(10) == pytest.approx(0.5)
    assert Cached(1, 2, 3, 4).cold(5, 6) == 1 + 10 + 3 + 24


def test_agreement_needs_means_within_two_standard_errors():
    assert compared([0.96, 0.95, 0.97], [0.95, 0.96, 0.96], 300)["agree"]
    assert not compared([0.96, 0.95, 0.97], [0.86, 0.85, 0.87], 300)["agree"]
    # Few images tested tell little.
    assert compared([0.9], [0.8], 10)["agree"]


# Inputs.


def test_repeated_images_have_other_bytes_and_the_same_pixels(tmp_path):
    source = write_pictures(tmp_path / "pictures", 3)
    out = repeated(source, 15, tmp_path / "repeated.zip")
    with open_source(out) as images:
        data = [images.read(sample) for sample in images.samples]
        labels = [sample.label for sample in images.samples]
    assert len(set(data)) == 15
    assert sorted(labels.count(label) for label in set(labels)) == [7, 8]
    pixels = {decode(entry, (32, 32), "bilinear").tobytes() for entry in data}
    assert len(pixels) == 6
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None


def test_usable_images_are_split_as_fit_head_splits_them(tmp_path, tiny_backbone):
    source = write_pictures(tmp_path / "pictures", 12)
    (source / "spots" / "empty.jpg").write_bytes(b"")
    (source / "stripes" / "copy.jpg").write_bytes((source / "stripes" / "3.jpg").read_bytes())
    cache = str(tmp_path / "cache")
    model = ["--backbone", str(tiny_backbone), "--preprocessing", "none", "--precision", "fp32"]
    assert extract_main([str(source), "--cache", cache, *model, "--quiet"]) == 0
    space = FeatureCache.open(cache).space()
    features = open_features(space)
    with open_source(source) as images:
        found = usable(images)
        assert len(found.samples) == 24
        assert np.array_equal(found.labels, features.y)
        assert found.classes == features.classes
    assert len(found.split(3).train) == 17


def test_drawn_pictures_are_of_two_classes(tmp_path):
    with open_source(draw(tmp_path / "drawn", 6, (48, 64))) as source:
        labels = [sample.label for sample in source.samples]
    assert labels == ["spots"] * 3 + ["stripes"] * 3


def test_unpack_makes_a_folder_for_each_class(tmp_path):
    archive = repeated(write_pictures(tmp_path / "pictures", 2), 4, tmp_path / "four.zip")
    folder = unpack(archive, tmp_path / "folder")
    assert sorted(path.name for path in folder.iterdir()) == ["spots", "stripes"]
    assert len(list(folder.rglob("*.jpg"))) == 4


def test_synthetic_cache_can_be_learnt_from(tmp_path):
    make_cache(tmp_path / "cache", 60, 40)
    space = FeatureCache.open(tmp_path / "cache").space()
    features = open_features(space)
    assert features.counts.tolist() == [30, 30]
    assert features.X.shape == (60, 40)
    means = [features.X[features.y == label].mean() for label in (0, 1)]
    assert means[1] > means[0] + 0.1


# Views.


def test_each_beginning_has_the_classes_in_proportion():
    labels = np.array([0] * 30 + [1] * 60)
    order = augmentation.balanced(labels, seed=3)
    assert sorted(order) == list(range(90))
    assert abs(labels[order[:30]].sum() - 20) <= 1
    assert not np.array_equal(order, augmentation.balanced(labels, seed=4))


def test_a_head_that_is_asked_about_views_averages_their_probabilities():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    features = rng.normal(0, 0.1, (60, augmentation.VIEWS, 4)).astype(np.float32)
    features[:, :, 0] += labels[:, None]
    features[:, 1:, 0] = 1 - features[:, 1:, 0]  # every other view says the opposite
    trial = augmentation.Trial(features, labels, tested=20)
    assert trial.figures(40, 0, (False, False))["accuracy"] == 1
    assert trial.figures(40, 0, (False, True))["accuracy"] == 0
    (size,) = trial.sizes([100], seeds=2)
    assert size["train"] == 40


# Arithmetic of a network, and the tutorial's mistake in one.


@pytest.fixture
def exported(tmp_path):
    write_tiny_onnx(tmp_path / "tiny.onnx")
    out = tmp_path / "exported.onnx"
    options = ["--backbone", str(tmp_path / "tiny.onnx"), "--preprocessing", "caffe"]
    assert export_main([*options, "--out", str(out), "--quiet"]) == 0
    return out


def test_flops_count_multiply_adds_twice(exported):
    # 16 x 16 x 16 outputs of 27 products, then 8 x 8 x 24 outputs of 144.
    assert flops_per_image(exported) == 2 * (16 * 16 * 16 * 27 + 8 * 8 * 24 * 144)


def test_division_by_255_is_the_only_difference(exported, tmp_path):
    wrong = tmp_path / "wrong.onnx"
    preprocessing.divide(exported, wrong)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    right_features, wrong_features = (
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(
            ["features"], {"images": pixels}
        )[0]
        for path in (exported, wrong)
    )
    # Without biases the network is homogeneous: 255 times smaller in, 255 times smaller out.
    assert np.allclose(right_features, 255 * wrong_features, rtol=1e-4, atol=1e-4)
    described = {entry.key: entry.value for entry in onnx.load(wrong).metadata_props}
    assert json.loads(described[METADATA_KEY])["preprocessing"] == "caffe, then / 255"


def test_a_notop_file_is_the_frozen_part_of_an_end_to_end_network(shared_data):
    weights = shared_data / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    request = backbone_request("vgg16", str(weights), None, None)
    model = keras_network.end_to_end_model(keras_network.start_keras(), request, 2)
    assert model.output_shape == (None, 2)
    assert model.count_params() == 14_714_688 + 2 * 512 + 2


# Measuring and recording.


def test_a_process_is_measured():
    code = "import time; data = bytearray(200 * 2**20); time.sleep(0.2); print('{\"a\": 1}')"
    done = run([sys.executable, "-c", code])
    assert done.seconds > 0.2
    assert 200 * 2**20 < done.peak_bytes < 400 * 2**20
    assert done.result == {"a": 1}


def test_a_process_can_be_killed():
    done = run([sys.executable, "-c", "import time; time.sleep(60)"], kill_after=0.2)
    assert done.code != 0
    assert done.seconds < 30


def test_a_failed_process_is_a_failure_with_its_last_line():
    with pytest.raises(Failure, match="no luck"):
        run([sys.executable, "-c", "import sys; print('x'); sys.exit('no luck')"])


def test_legs_are_measured_once(tmp_path):
    calls = []

    def measure():
        calls.append(1)
        return {"seconds": 1}

    for _ in range(2):
        found = Legs(tmp_path / "legs.json", {"commit": "a"}, silent, None).leg("one", measure)
        assert found["seconds"] == 1
    assert len(calls) == 1
    Legs(tmp_path / "legs.json", {"commit": "b"}, silent, None).leg("one", measure)
    assert len(calls) == 2


def test_legs_pause_and_keep_what_is_done(tmp_path):
    legs = Legs(tmp_path / "legs.json", {}, silent, 0)
    with pytest.raises(Interrupted, match="run the same command again"):
        legs.leg("one", dict)
    Legs(tmp_path / "legs.json", {}, silent, None).leg("one", lambda: {"seconds": 2})
    found = Legs(tmp_path / "legs.json", {}, silent, 0).leg("one", dict)
    assert found["seconds"] == 2


def test_records_name_machine_and_versions_and_can_be_read(tmp_path):
    payload = record("x", {"quick": True}, {"a": 1})
    write_record(tmp_path, payload)
    assert read_record(tmp_path, "x") == payload
    assert machine()["cores"] >= 1
    assert {"python", "numpy", "onnxruntime"} <= versions().keys()
    with pytest.raises(Failure, match=r"benchmarks\.y first"):
        read_record(tmp_path, "y")


def test_blas_is_not_slowed_down(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert "OPENBLAS_CORETYPE" not in environment()


def test_the_chart_marks_no_warm_run_of_a_sample():
    ratios = {
        "fp32": {"cold_extrapolated": True, "warm_seconds": 0.2},
        "int8": {"cold_extrapolated": False, "warm_seconds": 0.4},
    }
    assert warm_seconds({"ratios": ratios}) == [0.4]


def test_table_is_markdown():
    assert table(["name", "count"], [["x", "1"]]).splitlines() == [
        "| name | count |",
        "| ---- | ----: |",
        "| x    |     1 |",
    ]


# What is committed.


def test_page_agrees_with_the_results():
    written = page.PAGE.read_text(encoding="utf-8")
    assert written == page.page(RESULTS), "run python -m benchmarks.page"
    written = page.PRECISION_PAGE.read_text(encoding="utf-8")
    assert written == page.precision_page(RESULTS), "run python -m benchmarks.page"
    written = page.BACKBONES_PAGE.read_text(encoding="utf-8")
    assert written == page.backbones_page(RESULTS), "run python -m benchmarks.page"


def test_no_named_network_that_was_compared_differs_from_keras():
    if not (RESULTS / "applications.json").exists():
        pytest.skip("benchmarks.applications has not been run yet")
    results = read_record(RESULTS, "applications")["results"]
    for name, row in results["networks"].items():
        cut = ARCHITECTURES[name].cut(row["layer"])[1]
        assert row["difference"] <= results["allowed"] == 1e-4
        assert (row["parameters"], row["features"]) == (cut.parameters, cut.features)
    readme = page.README.read_text(encoding="utf-8")
    assert readme == page.with_record(readme, RESULTS), "run python -m benchmarks.page"


def test_readme_says_what_compare_found():
    """The figures of a record are put between the two marks, and again over themselves."""
    report = {"computed": 251, "images_per_second": 28.0, "steady": {"images": 283}}
    runs = {"extract": {"seconds": 8.0, "report": report}, "fit": {"seconds": 2.0}}
    times = end_to_end_times(keras_phases(0.1))
    found = ratios(times, measurements(0.1, 0.5), images=100, epochs=10)
    results = {
        "images": 100,
        "epochs": 10,
        "end_to_end": {"batch_size": 128, "phases": {"train": {"steps": 5}}},
        "ratios": {"int8": found},
        "all_in_ratios": {
            "auto": {"precision": "int8", "seconds": 20.0, "times_faster": 29.9},
            "fast": {"precision": "fast", "seconds": 15.0, "times_faster": 39.94},
        },
        "sooner": sooner(times, runs, clusters(600, 4.0), Recipe(4, 32)),
    }
    record_of = {"results": results, "machine": {"processor": "Some CPU (model 1)", "cores": 2}}
    begin, _, rest = page.README.read_text(encoding="utf-8").partition("<!-- speed")
    readme = with_speed(begin + "<!-- speed" + rest, record_of)
    assert "on 2 Some CPU cores" in readme
    assert "20 seconds with nothing there but the exported model, 29.9 times" in readme
    assert "15 seconds from nothing, 39.9 times" in readme.replace("\n", " ")
    assert "takes 283 and stops" in readme.replace("\n", " ")
    assert readme.startswith(begin)
    assert with_speed(readme, record_of) == readme
    assert with_speed(readme, None) == readme


@pytest.mark.parametrize("path", RECORDS, ids=[path.stem for path in RECORDS])
def test_committed_results_are_whole_runs_and_name_no_place(path):
    payload = json.loads(path.read_bytes())
    assert payload["benchmark"] == path.stem
    assert not payload.get("options", {}).get("quick")  # the oldest lack it
    assert not re.search(r"(?<![\w.])/(?:work|tmp|root|home|Users)\b", path.read_text())


def test_committed_comparison_is_of_the_whole_networks():
    if not (RESULTS / "compare.json").exists():
        pytest.skip("compare has not been run on a whole machine yet")
    results = read_record(RESULTS, "compare")["results"]
    assert results["schedule"]["backbone_passes"] == 43_240
    end_to_end = results["end_to_end"]
    whole, averaged = (134_268_738, 8_194), (14_715_714, 1_026)
    assert (end_to_end["parameters"], end_to_end["trainable_parameters"]) in (whole, averaged)
    assert all(entry["steps"] >= 5 for entry in results["end_to_end"]["phases"].values())
    assert all(entry["extrapolated"] for entry in results["end_to_end"]["phases"].values())


# The commands.


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.slow
def test_help_has_an_example(script):
    done = subprocess.run(
        python(f"benchmarks.{script}", "--help"), capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0
    assert "example:\n  python -m benchmarks" in done.stdout


@pytest.mark.slow
def test_quick_preprocessing_writes_its_record(tmp_path):
    command = python(
        "benchmarks.preprocessing", "--quick", "--quiet", "--json",
        "--results", str(tmp_path / "results"), "--work", str(tmp_path / "work"),
    )  # fmt: skip
    payload = run(command).result
    assert read_record(tmp_path / "results", "preprocessing_tiny") == payload
    assert payload["options"]["quick"]
    for name in ("right", "wrong"):
        assert len(payload["results"][name]["lbfgs"]) == len(payload["options"]["seeds"])
    assert payload["results"]["right"]["space"] != payload["results"]["wrong"]["space"]
    assert str(tmp_path) not in json.dumps(payload)


@pytest.mark.slow
def test_unknown_benchmark_folder_is_a_line_not_a_traceback(tmp_path):
    done = subprocess.run(
        python("benchmarks.compare", str(tmp_path / "absent"), "--work", str(tmp_path)),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert Path(tmp_path / "absent").name in done.stderr


def test_networks_of_which_int8_alone_is_known_have_their_row():
    parity = {"gain": 2.0, "cosine_mean": 0.99}
    rows = {
        "made": {"parity": parity, "objections": []},
        "timed": {"fp32": 10.0, "int8": 15.0, "parity": parity, "objections": ["slow"]},
        "large": {"fp32": 1.0},
    }
    text = [line.split("|")[1:-1] for line in speeds.summary({"networks": rows}).splitlines()[2:]]
    assert [[cell.strip() for cell in line] for line in text] == [
        ["made", "", "", "2.00", "0.9900", "int8"],
        ["timed", "10.0", "15.0", "1.50", "0.9900", "fp32"],
        ["large", "1.0", "", "", "", ""],
    ]
