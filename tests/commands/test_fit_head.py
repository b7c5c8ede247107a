"""python -m engine.fit_head, from a cache on disk to files and figures."""

import csv
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from cache_samples import vectors
from fit_samples import DESCRIPTION, labelled_cache

import engine.heads.solvers
from cache.__main__ import main as main_of_cache
from cache.rows import Row
from cache.store import FeatureCache
from engine.fit_head import main
from engine.heads.head import load_head

TWO = {"cat": 120, "dog": 80}


@pytest.fixture
def pets(tmp_path):
    labelled_cache(tmp_path / "pets", TWO)
    return tmp_path / "pets"


def run(capsys, *arguments):
    """Return exit code, stdout and stderr."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def run_json(capsys, *arguments):
    code, out, err = run(capsys, *arguments, "--json", "--quiet")
    assert (code, err) == (0, "")
    return json.loads(out)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_the_json_has_the_keys_of_the_contract(pets, capsys, solver):
    more = ["--epochs", 60] if solver == "adam" else []
    result = run_json(capsys, "--cache", pets, "--solver", solver, *more)
    assert list(result) == [
        "space",
        "classes",
        "trainable_parameters",
        "split",
        "train",
        "validation",
        "test",
        "temperature",
        "solver",
        "seconds",
        "out",
    ]
    assert result["classes"] == ["cat", "dog"]
    assert result["trainable_parameters"] == 16 * 2 + 2
    assert result["split"] == {"train": 140, "validation": 30, "test": 30}
    assert result["solver"] == solver
    assert list(result["test"]) == [
        "loss",
        "accuracy",
        "interval",
        "loss_interval",
        "balanced_accuracy",
        "roc_auc",
        "calibration_error",
        "baseline",
        "per_class",
        "confusion",
    ]
    low, high = result["test"]["interval"]
    assert low < result["test"]["accuracy"] <= high
    assert result["test"]["baseline"] == {"class": "cat", "accuracy": 0.6}
    confusion = np.array(result["test"]["confusion"])
    assert confusion.sum(axis=1).tolist() == [18, 12]
    assert result["test"]["accuracy"] == pytest.approx(np.trace(confusion) / 30)
    assert result["test"]["accuracy"] > 0.9
    assert list(result["train"]) == list(result["validation"]) == ["loss", "accuracy"]


def test_the_files_agree_with_each_other_and_with_the_cache(pets, capsys):
    result = run_json(capsys, "--cache", pets)
    out = pets / "heads" / f"vgg16_{result['space'][:8]}_photos_70-15-15_lbfgs_seed0"
    assert result["out"] == str(out)
    assert sorted(path.name for path in out.iterdir()) == [
        "head.npz",
        "metrics.json",
        "predictions.csv",
        "report.html",
    ]
    metrics = json.loads((out / "metrics.json").read_text())
    assert {key: metrics[key] for key in result if key != "out"} == {
        key: value for key, value in result.items() if key != "out"
    }
    assert metrics["head_sha256"] == hashlib.sha256((out / "head.npz").read_bytes()).hexdigest()
    head = load_head(out)
    assert head.description == DESCRIPTION
    assert head.space == result["space"]
    # Applied to all features of the cache, the head scores what the three sides say together.
    space = FeatureCache.open(pets).space()
    rows = space.rows()
    digests = np.array([list(row.digest) for row in rows], np.uint8)
    found = head.probabilities(space.index().read(digests)).argmax(axis=1)
    right = sum(head.classes[code] == row.label for code, row in zip(found, rows, strict=True))
    told = sum(result[s]["accuracy"] * result["split"][s] for s in ("train", "validation", "test"))
    assert right == round(told)


def test_the_summary_says_what_was_done_and_what_comes_next(pets, capsys, tmp_path):
    code, out, err = run(capsys, "--cache", pets, "--out", tmp_path / "deep" / "head")
    assert code == 0
    assert "2 classes (cat, dog)" in out
    assert "34 trainable parameters" in out
    assert "L2 strength" in out
    assert f"next: python -m engine.predict IMAGE --head {tmp_path / 'deep' / 'head'}" in out
    assert "trains on 140 images" in err


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_a_head_is_the_same_to_the_bit_whatever_the_order_of_extraction(tmp_path, capsys, solver):
    images = []
    for name, order in (("one", None), ("two", 1)):
        labelled_cache(tmp_path / name, TWO, order=order)
        result = run_json(capsys, "--cache", tmp_path / name, "--solver", solver, "--seed", 3)
        images.append((tmp_path / result["out"] / "head.npz").read_bytes())
    assert images[0] == images[1]


def test_a_seed_is_another_split(pets, capsys):
    one, two = (run_json(capsys, "--cache", pets, "--seed", seed) for seed in (0, 1))
    assert one["out"] != two["out"]
    assert one["train"] != two["train"]


@pytest.mark.slow
def test_adam_reads_a_cache_larger_than_its_memory(tmp_path, capsys):
    labelled_cache(tmp_path, {"a": 6000, "b": 6000}, dimension=64)
    options = ("--cache", tmp_path, "--solver", "adam", "--batch-size", 64, "--no-report")
    streamed = run_json(capsys, *options, "--memory", 1, "--out", tmp_path / "heads" / "a")
    loaded = run_json(capsys, *options, "--out", tmp_path / "heads" / "b")
    assert streamed["split"] == loaded["split"]
    assert streamed["test"]["loss"] == pytest.approx(loaded["test"]["loss"], abs=0.02)
    assert streamed["train"] != loaded["train"]


@pytest.mark.slow
def test_two_hundred_classes(tmp_path, capsys):
    labelled_cache(tmp_path, {f"class {n}": 10 for n in range(200)}, dimension=40, noise=0.3)
    result = run_json(capsys, "--cache", tmp_path)
    assert result["split"] == {"train": 1400, "validation": 300, "test": 300}
    assert result["trainable_parameters"] == 41 * 200
    assert result["test"]["accuracy"] > 0.9


def test_a_fit_without_report_leaves_no_older_report(pets, capsys):
    out = run_json(capsys, "--cache", pets)["out"]
    run_json(capsys, "--cache", pets, "--no-report")
    assert not (pets / out / "report.html").exists()


def test_classes_that_a_side_lacks_are_warned_of(tmp_path, capsys):
    labelled_cache(tmp_path, {"a": 40, "b": 40, "rare": 1})
    code, out, err = run(capsys, "--cache", tmp_path, "--quiet")
    assert code == 0
    assert "too few images for test, so it says nothing of: rare" in err
    assert "3 classes" in out


def test_what_is_left_out_is_warned_of(pets, capsys):
    digests, features = vectors(201, 16)
    space = FeatureCache.open(pets).space()
    space.append(digests[200:], features[200:])
    writer = space.write_dataset("more")
    rows = [("dog", 0), (None, 0), ("dog", 1)]
    writer.append(
        [
            Row(f"{n}.jpg", label, digests[image].tobytes(), "cached")
            for n, (label, image) in enumerate(rows)
        ]
    )
    writer.append([Row("new.jpg", None, digests[200].tobytes(), "cached")])
    writer.append([Row("lost.jpg", "cat", bytes(range(1, 33)), "cached")])
    writer.finish()
    code, _, err = run(capsys, "--cache", pets, "--quiet")
    assert code == 0
    assert (
        "left out: 2 images whose bytes occur under several labels: cat in /somewhere/photos" in err
    )
    assert "left out: 1 image without a label" in err
    assert "left out: 1 image whose features the cache has lost" in err
    assert run_json(capsys, "--cache", pets, "--dataset", "/somewhere/photos")["split"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--split", "70/15"], 2, "parts of 100"),
        (["--split", "70/x/20"], 2, "two or three whole percentages"),
        (["--split", "70/20/20"], 2, "parts of 100"),
        (["--split", "own"], 1, "the source has no split of its own"),
        (["--folds", "1"], 2, "not a number of folds"),
        (["--split", "85/15/0"], 2, "each above 0"),
        (["--seed", "-1"], 2, "negative"),
        (["--solver", "magic"], 2, "invalid choice"),
        (["--epochs", "0"], 2, "not a positive number"),
        (["--batch-size", "many"], 2, "invalid count value"),
        (
            ["--space", "zzz"],
            2,
            "feature space, and zzz is the beginning of none",
        ),
        (["--dataset", "birds"], 2, "there is no dataset birds"),
        (["--epochs", "3"], 2, "--epochs is adam's: give --solver adam too"),
        (["--batch-size", "128"], 2, "--batch-size is adam's: give --solver adam too"),
        (["--memory", "5"], 2, "--memory is adam's: give --solver adam too"),
    ],
)
def test_wrong_options_are_one_line(pets, capsys, arguments, code, message):
    try:
        got = main(["--cache", str(pets), *arguments])
    except SystemExit as stop:
        got = stop.code
    err = capsys.readouterr().err
    assert got == code
    assert message in err
    assert err.count("\n") == 1


def test_a_space_is_chosen_by_the_beginning_of_its_id(pets, capsys):
    other = labelled_cache(pets, TWO, description={**DESCRIPTION, "precision": "int8"})
    code, _, err = run(capsys, "--cache", pets)
    assert code == 2
    assert "choose one by the beginning of its id" in err
    assert "vgg16 fc2 int8" in err
    assert run_json(capsys, "--cache", pets, "--space", other.id[:6])["space"] == other.id


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"a": 50}, "all 50 images are a"),
        ({"a": 2, "b": 2}, "leave none for test"),
        ({str(n): 1 for n in range(50)}, "15 of 50 classes have no image left to train on"),
    ],
)
def test_too_little_to_learn_from_is_one_line(tmp_path, capsys, counts, message):
    labelled_cache(tmp_path, counts)
    code, out, err = run(capsys, "--cache", tmp_path, "--quiet")
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_cache_that_is_none_or_empty_is_one_line(tmp_path, capsys):
    code, _, err = run(capsys, "--cache", tmp_path / "nowhere")
    assert code == 1
    assert "is not a cache" in err
    FeatureCache.create(tmp_path / "empty")
    code, _, err = run(capsys, "--cache", tmp_path / "empty")
    assert code == 1
    assert "holds no features yet" in err


def test_features_that_are_not_finite_are_one_line(tmp_path, capsys):
    space = labelled_cache(tmp_path, TWO)
    digests, features = vectors(201, 16)
    features[200, 0] = np.nan
    space.append(digests[200:], features[200:])
    writer = space.write_dataset("broken")
    writer.append([Row("nan.jpg", "cat", digests[200].tobytes(), "cached")])
    writer.finish()
    for solver in ("lbfgs", "adam"):
        code, _, err = run(capsys, "--cache", tmp_path, "--solver", solver, "--quiet")
        assert code == 1
        assert "features of nan.jpg are not finite" in err
    assert main_of_cache(["verify", str(tmp_path)]) == 1
    assert "1 of its features are not finite (NaN or infinity), those of nan.jpg;" in (
        capsys.readouterr().out
    )
    code, _, err = run(capsys, "--cache", tmp_path, "--quiet")
    assert code == 0
    assert "left out: 1 image whose features the cache has lost" in err


def test_more_than_the_machine_holds_names_adam(pets, capsys, monkeypatch):
    monkeypatch.setattr(engine.heads.solvers, "installed_memory", lambda: 1000)
    code, _, err = run(capsys, "--cache", pets, "--quiet")
    assert code == 1
    assert "take the solver adam" in err
    assert run_json(capsys, "--cache", pets, "--solver", "adam")["solver"] == "adam"


def test_out_that_is_a_file_is_one_line(pets, capsys, tmp_path):
    (tmp_path / "taken").write_text("")
    code, _, err = run(capsys, "--cache", pets, "--out", tmp_path / "taken", "--quiet")
    assert code == 1
    assert "is a file; give a folder" in err


def test_fitting_imports_neither_tensorflow_nor_scikit_learn(pets):
    program = (
        "import sys; from engine.fit_head import main; "
        f"code = main(['--cache', {str(pets)!r}, '--quiet']); "
        "heavy = {'tensorflow', 'sklearn', 'scipy', 'onnxruntime', 'matplotlib'}; "
        "print(sorted(heavy & sys.modules.keys())); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_needs_no_numpy():
    program = (
        "import sys\nfrom engine.fit_head import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert "python -m engine.fit_head --cache pets" in done.stdout


def test_fc2_features_of_two_classes_make_8194_parameters(tmp_path, capsys):
    labelled_cache(tmp_path, {"cat": 20, "dog": 20}, dimension=4096)
    assert run_json(capsys, "--cache", tmp_path, "--no-report")["trainable_parameters"] == 8194


def test_predictions_are_those_of_every_image(pets, capsys):
    result = run_json(capsys, "--cache", pets)
    with (pets / result["out"] / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 200
    for side in ("train", "validation", "test"):
        of_side = [row for row in rows if row["side"] == side]
        assert len(of_side) == result["split"][side]
        right = np.mean([row["label"] == row["predicted"] for row in of_side])
        assert right == pytest.approx(result[side]["accuracy"])
        assert [row["path"] for row in of_side] == sorted(row["path"] for row in of_side)
    for row in rows:
        assert row["path"].startswith(row["label"])
        assert float(row["cat"]) + float(row["dog"]) == pytest.approx(1, abs=1e-5)


def test_folds_give_a_mean_and_a_spread(pets, capsys):
    result = run_json(capsys, "--cache", pets, "--folds", 4, "--no-report")["cross_validation"]
    assert result["folds"] == 4
    assert len(result["accuracy"]["folds"]) == 4
    assert result["accuracy"]["mean"] == pytest.approx(np.mean(result["accuracy"]["folds"]))
    assert 0.8 < result["accuracy"]["mean"] <= 1
    code, out, _ = run(capsys, "--cache", pets, "--folds", 4, "--solver", "adam", "--no-report")
    assert code == 0
    assert "4 folds: accuracy 0." in out


def test_a_head_of_other_choices_is_never_replaced(pets, capsys):
    first = run_json(capsys, "--cache", pets)
    image = (pets / first["out"] / "head.npz").read_bytes()
    assert run_json(capsys, "--cache", pets)["out"] == first["out"]
    others = (["--split", "60/40"], ["--class-weight", "balanced"], ["--seed", 9])
    outs = [run_json(capsys, "--cache", pets, *options)["out"] for options in others]
    adam = ["--solver", "adam", "--epochs"]
    outs += [run_json(capsys, "--cache", pets, *adam, epochs)["out"] for epochs in (2, 3)]
    assert len({first["out"], *outs}) == 6
    assert outs[-1] == f"{outs[-2]}_2"
    assert (pets / first["out"] / "head.npz").read_bytes() == image
    code, _, err = run(capsys, "--cache", pets, "--out", first["out"], "--seed", 5, "--quiet")
    assert code == 1
    assert "holds a head of another split, solver, dataset or class list" in err
    assert (pets / first["out"] / "head.npz").read_bytes() == image


@pytest.mark.parametrize("name", ["head.npz", "metrics.json", "predictions.csv", "report.html"])
def test_a_file_of_such_a_name_that_is_not_ours_is_not_replaced(pets, capsys, tmp_path, name):
    out = tmp_path / "mine"
    out.mkdir()
    (out / name).write_text("mine")
    code, _, err = run(capsys, "--cache", pets, "--out", out, "--quiet")
    assert code == 1
    assert "give another folder" in err
    assert name == "head.npz" or f"holds a {name} that no fit of this head wrote" in err
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_text() == "mine"


def test_a_folder_of_somebody_else_gets_no_head(pets, capsys, tmp_path):
    photographs, empty = tmp_path / "photographs", tmp_path / "empty"
    photographs.mkdir()
    (photographs / "cat.jpg").write_text("mine")
    code, _, err = run(capsys, "--cache", pets, "--out", photographs, "--quiet")
    assert code == 1
    assert "holds other files, and no head; give another folder" in err
    assert [path.name for path in photographs.iterdir()] == ["cat.jpg"]
    empty.mkdir()
    (empty / ".tmp-0123").write_text("what a kill left")
    assert run(capsys, "--cache", pets, "--out", empty, "--quiet")[0] == 0
    assert run(capsys, "--cache", pets, "--out", empty, "--quiet")[0] == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_pipes_beside_heads_are_not_waited_for(pets, capsys, tmp_path):
    (pets / "heads" / "other").mkdir(parents=True)
    for folder in (pets / "heads" / "other", tmp_path / "mine"):
        folder.mkdir(exist_ok=True)
        os.mkfifo(folder / "metrics.json")
    code, _, err = run(capsys, "--cache", pets, "--quiet")
    assert (code, err) == (0, "")
    code, _, err = run(capsys, "--cache", pets, "--out", tmp_path / "mine", "--quiet")
    assert code == 1
    assert "holds a metrics.json that no fit of this head wrote" in err


def test_two_sides_and_a_balanced_head(tmp_path, capsys):
    labelled_cache(tmp_path, {"cat": 200, "dog": 20}, noise=3)
    options = ("--cache", tmp_path, "--split", "50/50", "--no-report")
    plain = run_json(capsys, *options)
    balanced = run_json(capsys, *options, "--class-weight", "balanced")
    assert plain["split"] == {"train": 110, "validation": 0, "test": 110}
    assert plain["validation"] is None
    recall = [result["test"]["per_class"]["dog"]["recall"]["value"] for result in (plain, balanced)]
    assert recall[1] > recall[0]


def test_the_split_of_the_source_is_taken(tmp_path, capsys):
    space = labelled_cache(tmp_path, TWO)
    rows = [
        replace(row, split=("train", "train", "test")[n % 3]) for n, row in enumerate(space.rows())
    ]
    writer = space.write_dataset("/somewhere/photos")
    writer.append(rows)
    writer.finish()
    result = run_json(capsys, "--cache", tmp_path, "--no-report")
    assert result["split"] == {"train": 114, "validation": 20, "test": 66}
    assert "_own_" in result["out"]
    other = run_json(capsys, "--cache", tmp_path, "--no-report", "--split", "70/15/15")
    assert other["split"]["validation"] == 30


def test_near_duplicates_are_never_on_two_sides(tmp_path, capsys):
    digests, _ = vectors(200, 16)
    features = np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32)
    features[100:160] = features[:60] * np.float32(1.5)
    space = FeatureCache.create(tmp_path).add_space(DESCRIPTION, 16)
    space.append(digests, features)
    writer = space.write_dataset("photos")
    writer.append(
        [Row(f"{n}.jpg", ("cat", "dog")[n % 2], digests[n].tobytes(), "cached") for n in range(200)]
    )
    writer.finish()
    result = run_json(capsys, "--cache", tmp_path, "--group-duplicates", "--no-report")
    with (tmp_path / result["out"] / "predictions.csv").open(encoding="utf-8", newline="") as file:
        side_of = {row["path"]: row["side"] for row in csv.DictReader(file)}
    assert all(side_of[f"{n}.jpg"] == side_of[f"{100 + n}.jpg"] for n in range(60))
    assert set(side_of.values()) == {"train", "validation", "test"}


def test_images_that_are_all_alike_are_warned_of(pets, capsys):
    code, _, err = run(capsys, "--cache", pets, "--group-duplicates", "--quiet")
    assert code == 0
    assert "near-duplicates hold 75 of 200 images together" in err
