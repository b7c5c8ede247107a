"""python -m engine.fit_head, from a cache on disk to files and figures."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from cache_samples import vectors
from fit_samples import DESCRIPTION, labelled_cache

import engine.heads.solvers
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
    result = run_json(capsys, "--cache", pets, "--solver", solver, "--epochs", 60)
    assert list(result) == [
        "space",
        "classes",
        "trainable_parameters",
        "split",
        "train",
        "validation",
        "test",
        "solver",
        "seconds",
        "out",
    ]
    assert result["classes"] == ["cat", "dog"]
    assert result["trainable_parameters"] == 16 * 2 + 2
    assert result["split"] == {"train": 140, "validation": 30, "test": 30}
    assert result["solver"] == solver
    assert list(result["test"]) == ["loss", "accuracy", "confusion"]
    confusion = np.array(result["test"]["confusion"])
    assert confusion.sum(axis=1).tolist() == [18, 12]
    assert result["test"]["accuracy"] == pytest.approx(np.trace(confusion) / 30)
    assert result["test"]["accuracy"] > 0.9
    assert list(result["train"]) == list(result["validation"]) == ["loss", "accuracy"]


def test_the_files_agree_with_each_other_and_with_the_cache(pets, capsys):
    result = run_json(capsys, "--cache", pets)
    out = pets / "heads" / f"vgg16-{result['space'][:8]}-lbfgs-seed0"
    assert result["out"] == str(out)
    assert sorted(path.name for path in out.iterdir()) == [
        "head.npz",
        "metrics.json",
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
        (["--split", "70/15"], 2, "three whole percentages"),
        (["--split", "70/20/20"], 2, "three parts of 100"),
        (["--split", "85/15/0"], 2, "each above 0"),
        (["--seed", "-1"], 2, "negative"),
        (["--solver", "magic"], 2, "invalid choice"),
        (["--epochs", "0"], 2, "not a positive number"),
        (["--batch-size", "many"], 2, "invalid _count value"),
        (
            ["--space", "zzz"],
            2,
            "feature space, and zzz is the beginning of none",
        ),
        (["--dataset", "birds"], 2, "there is no dataset birds"),
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
