"""python -m engine.predict: any images, any names, one line each."""

import _thread
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace

import numpy as np
import onnx
import pytest
from conftest import write_pictures, write_tiny_backbone
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st
from trained_samples import train

from cache.commandline.printable import printable
from cache.store import FeatureCache, space_id
from engine.backbones.model import METADATA_KEY
from engine.classifiers.classify import Group, Prediction
from engine.classifiers.output import Answers, Outcome, csv_lines, json_lines, text_lines
from engine.classifiers.text_columns import display_width, fitted
from engine.export import main as export
from engine.heads.head import load_head
from engine.predict import main


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_backbone):
    return train(tmp_path_factory.mktemp("trained"), tiny_backbone)


@pytest.fixture
def new(tmp_path):
    """Pictures that the head has not seen."""
    return write_pictures(tmp_path / "new", 4, seed=9)


def run(capsys, *arguments):
    """Return exit code, stdout and stderr."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def run_json(capsys, *arguments, code=0):
    got, out, err = run(capsys, *arguments, "--json", "--quiet")
    assert (got, err) == (code, "")
    return json.loads(out)


def test_the_json_is_the_contract_and_says_what_head_and_cache_say(trained, capsys):
    result = run_json(capsys, trained.pictures, "--head", trained.head)
    head = load_head(trained.head)
    space = FeatureCache.open(trained.cache).space()
    rows = {row.path: row.digest for row in space.rows()}
    assert [entry["path"] for entry in result] == [f"{trained.pictures}/{p}" for p in sorted(rows)]
    for entry in result:
        assert list(entry) == ["path", "label", "probabilities"]
        inside = entry["path"].removeprefix(f"{trained.pictures}/")
        features = space.index().read(np.frombuffer(rows[inside], np.uint8).reshape(1, 32))
        expected = dict(zip(head.classes, head.probabilities(features)[0], strict=True))
        assert entry["probabilities"] == pytest.approx(expected, abs=1e-6)
        assert entry["label"] == max(expected, key=expected.get)


def test_a_head_of_centre_crops_crops_what_it_is_asked_about(tmp_path, tiny_backbone, capsys):
    trained = train(tmp_path, tiny_backbone, "--crop", "center")
    head = load_head(trained.head)
    assert head.description["crop"] == "center"
    space = FeatureCache.open(trained.cache).space()
    rows = {row.path: row.digest for row in space.rows()}
    (entry,) = run_json(capsys, trained.pictures / "spots" / "0.jpg", "--head", trained.head)
    features = space.index().read(np.frombuffer(rows["spots/0.jpg"], np.uint8).reshape(1, 32))
    expected = dict(zip(head.classes, head.probabilities(features)[0].tolist(), strict=True))
    assert entry["probabilities"] == pytest.approx(expected, abs=1e-6)
    out = tmp_path / "classifier.onnx"
    assert export(["--head", str(trained.head), "--out", str(out), "--quiet"]) == 0
    record = {each.key: each.value for each in onnx.load(out).metadata_props}
    assert json.loads(record[METADATA_KEY])["crop"] == "center"


def test_new_pictures_get_their_own_class(trained, new, capsys):
    result = run_json(capsys, new, "--head", trained.head)
    assert [entry["label"] for entry in result] == ["spots"] * 4 + ["stripes"] * 4


def test_files_folders_and_archives_say_the_same(trained, new, capsys, tmp_path):
    files = sorted(new.rglob("*.jpg"))
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        for file in files:
            archive.write(file, file.relative_to(new).as_posix())
    shutil.make_archive(str(tmp_path / "new"), "gztar", new)
    of_files = run_json(capsys, *files, "--head", trained.head / "head.npz")
    assert [entry["path"] for entry in of_files] == [str(file) for file in files]
    for name in ("new", "new.zip", "new.tar.gz"):
        result = run_json(capsys, tmp_path / name, "--head", trained.head)
        found = {e["path"].removeprefix(f"{tmp_path / name}/"): e["label"] for e in result}
        expected = {
            file.relative_to(new).as_posix(): entry["label"]
            for file, entry in zip(files, of_files, strict=True)
        }
        assert found == expected


def test_batch_size_and_threads_change_nothing(trained, new, capsys):
    results = [
        run_json(capsys, new, "--head", trained.head, "--batch-size", size, "--threads", threads)
        for size, threads in ((1, 1), (3, 2), (64, 4))
    ]
    for result in results[1:]:
        for one, other in zip(results[0], result, strict=True):
            assert one["label"] == other["label"]
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)


def test_one_bad_image_does_not_stop_the_others(trained, new, capsys, tmp_path):
    good = new / "spots" / "0.jpg"
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:300])
    (tmp_path / "hollow").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 and nothing more")
    names = ["empty.jpg", "text.png", "nowhere.jpg", "cut.jpg", "hollow", "broken.zip"]
    arguments = [good, *(tmp_path / name for name in names), good, "--head", trained.head]
    result = run_json(capsys, *arguments, code=1)
    assert [entry["path"] for entry in result] == [str(argument) for argument in arguments[:-2]]
    assert result[0] == result[-1]
    assert "label" in result[0]
    reasons = [entry["error"] for entry in result[1:-1]]
    for reason, expected in zip(
        reasons,
        ("empty", "not an image", "No such file", "damaged JPEG", "no images", "no sound archive"),
        strict=True,
    ):
        assert expected in reason
    code, out, err = run(capsys, *arguments)
    assert code == 1
    assert len(out.splitlines()) == 8
    assert "2 images classified, 6 failed" in err


def test_lines_are_aligned_and_safe(trained, capsys, tmp_path):
    picture = trained.pictures / "spots" / "0.jpg"
    names = ["a.jpg", "ein Bild mit Umlaut ü.jpg", "寿司.jpg"]
    if os.name != "nt":
        names.append("esc\x1b[31m\nline.jpg")
    for name in names:
        shutil.copy(picture, tmp_path / name)
    paths = [tmp_path / name for name in names]
    code, out, _ = run(capsys, *paths, "--head", trained.head)
    assert code == 0
    assert "\x1b" not in out
    lines = out.splitlines()
    assert len(lines) == len(names)
    for line, path in zip(lines, paths, strict=True):
        assert line.startswith(printable(str(path), 4096))
        assert line.split()[-2] == "spots"
        assert 0 <= float(line.split()[-1]) <= 1
    assert len({display_width(line) for line in lines}) == 1


@pytest.mark.parametrize("columns", [40, 70, 200])
def test_on_a_terminal_lines_fit_its_width(columns):
    paths = [f"a/very/long/folder/{'x' * n}寿司/{n}.jpg" for n in range(1, 60, 7)]
    found = (Prediction(path, np.array([0.25, 0.75], np.float32)) for path in paths)
    lines = "".join(
        text_lines([Group(paths, found)], Answers(["cat", "a dog"]), columns)
    ).splitlines()
    for line, path in zip(lines, paths, strict=True):
        assert display_width(line) <= columns
        assert line.endswith("  a dog  0.7500")
        assert line.startswith(path[:3])


@FUZZ
@given(st.text(max_size=50), st.integers(1, 40))
def test_any_text_is_fitted(text, width):
    text = printable(text)
    made = fitted(text, width)
    assert display_width(made) == width
    if display_width(text) <= width:
        assert made.rstrip(" ") == text.rstrip(" ")


def test_csv_reads_back_and_holds_no_formula():
    classes = ["=cmd|' /C calc'!A0", 'a "quoted", label']
    predictions = [
        Prediction("=1+1.jpg", np.array([0.75, 0.25], np.float32)),
        Prediction('b,"c"\n.jpg', np.array([0.25, 0.75], np.float32)),
        Prediction("-x.jpg", None, "the file is empty"),
    ]
    answers = Answers(classes)
    outcome = Outcome(answers)
    groups = outcome.counted([Group([p.path for p in predictions], iter(predictions))])
    out = "".join(csv_lines(groups, answers))
    assert (outcome.predicted, outcome.failed) == (2, 1)
    assert out.startswith("\ufeffpath,label,probability,error")
    rows = list(csv.DictReader(io.StringIO(out[1:], newline=""), strict=True))
    assert [row["path"] for row in rows] == ["./=1+1.jpg", 'b,"c"\n.jpg', "./-x.jpg"]
    assert [row["label"] for row in rows] == ["'=cmd|' /C calc'!A0", 'a "quoted", label', ""]
    assert [row["probability"] for row in rows] == ["0.750000", "0.750000", ""]
    assert [row["error"] for row in rows] == ["", "", "the file is empty"]


_NAMES = st.text(min_size=1, max_size=20)


@FUZZ
@given(st.lists(_NAMES, max_size=5), st.lists(_NAMES, min_size=2, max_size=4, unique=True))
def test_any_names_come_through_json_and_csv(paths, classes):
    def groups():
        share = np.full(len(classes), 1 / len(classes), np.float32)
        return [Group(paths, (Prediction(path, share) for path in paths))]

    result = json.loads("".join(json_lines(groups(), Answers(classes))))
    assert [entry["path"] for entry in result] == paths
    assert all(list(entry["probabilities"]) == classes for entry in result)
    rows = list(
        csv.reader(io.StringIO("".join(csv_lines(groups(), Answers(classes)))[1:], newline=""))
    )
    assert len(rows) == len(paths) + 1
    assert not any(cell[:1] in {"=", "+", "-", "@", "\t", "\r"} for row in rows for cell in row)


def test_csv_of_the_command(trained, new, capsys):
    code, out, _ = run(capsys, new, "--head", trained.head, "--csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out[1:], newline="")))
    assert [row["label"] for row in rows] == ["spots"] * 4 + ["stripes"] * 4


def test_the_backbone_may_be_named(trained, new, capsys, tiny_backbone, tmp_path, monkeypatch):
    picture = new / "spots" / "0.jpg"
    expected = run_json(capsys, picture, "--head", trained.head)
    monkeypatch.setenv("ONCEOVER_MODELS", str(tmp_path / "none"))
    code, _, err = run(capsys, picture, "--head", trained.head)
    assert code == 1
    assert "say where its file is: backbone FILE.onnx" in err
    assert err.count("\n") == 1
    named = ["--head", trained.head, "--backbone", tiny_backbone]
    assert run_json(capsys, picture, *named) == expected
    other = write_tiny_backbone(tmp_path / "other.onnx", seed=1)
    code, _, err = run(capsys, picture, "--head", trained.head, "--backbone", other, "--quiet")
    assert code == 2
    assert "the head was trained with other weights" in err
    assert "leave the weights out, and the head finds its own" in err


def test_a_file_that_is_named_is_cut_and_sized_as_the_head_says(
    tiny_backbone, new, capsys, tmp_path, monkeypatch
):
    """A network of any size, cut at a map inside: the head knows both."""
    model = onnx.load(tiny_backbone)
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"side{axis}"
    onnx.save(model, tmp_path / "any.onnx")
    cut = ["--layer", "b", "--pool", "max", "--size", "24x40"]
    trained = train(tmp_path, tmp_path / "any.onnx", *cut)
    picture = new / "spots" / "0.jpg"
    expected = run_json(capsys, picture, "--head", trained.head)
    monkeypatch.setenv("ONCEOVER_MODELS", str(tmp_path / "none"))
    named = ["--head", trained.head, "--backbone", tmp_path / "any.onnx"]
    assert run_json(capsys, picture, *named) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decode": "another-rule/1"}, "decoded by the rule another-rule/1"),
        ({"interpolation": "magic"}, "does not say how images are resized"),
        ({"interpolation": ["bilinear"]}, "does not say how images are resized"),
        ({"crop": "middle"}, "does not say how images are resized"),
        ({"backbone": ["vgg16"]}, "is not among the models"),
        ({"features": 7}, "does not have the size of its features"),
    ],
)
def test_a_head_of_other_features_is_refused(trained, new, capsys, tmp_path, changes, message):
    head = load_head(trained.head)
    description = {**head.description, **changes}
    replace(head, description=description, space=space_id(description)).save(tmp_path / "head.npz")
    code, out, err = run(capsys, new, "--head", tmp_path)
    assert (code, out) == (1, "")
    assert message in err
    replace(head, description={**head.description, "more": 1}).save(tmp_path / "head.npz")
    assert "not that of its feature space" in run(capsys, new, "--head", tmp_path)[2]


def test_wrong_usage_is_one_line(trained, capsys):
    code, _, err = run(capsys, "a.jpg", "--head", "nowhere")
    assert (code, err.count("\n")) == (1, 1)
    assert "train one on the features of a cache" in err
    code, _, err = run(capsys, "a.jpg", "--head", trained.head, "--csv", "--json")
    assert (code, err.count("\n")) == (2, 1)
    with pytest.raises(SystemExit, match="2"):
        main(["--head", "x"])


def test_ctrl_c_ends_with_130_and_a_whole_list(trained, new, capsys):
    names = [str(new)] * 400

    thread = threading.Timer(0.3, _thread.interrupt_main, [signal.SIGINT])
    thread.start()
    code, out, err = run(capsys, *names, "--head", trained.head, "--json")
    thread.join()
    assert code == 130
    assert f"stopped after {len(json.loads(out))} images" in err
    assert 0 < len(json.loads(out)) < 3200


def test_through_a_pipe_and_without_tensorflow(trained, new):
    program = (
        "import sys; from engine.predict import main; "
        f"code = main([{str(new)!r}, '--head', {str(trained.head)!r}]); "
        "print(sorted({'tensorflow', 'keras', 'sklearn', 'onnx'} & sys.modules.keys())); "
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    *lines, modules = done.stdout.splitlines()
    assert len(lines) == 8
    assert all(line.startswith(str(new)) for line in lines)
    assert modules == "[]"
    assert "8 images classified, 0 failed" in done.stderr


def test_the_table_has_a_column_for_each_class(trained, new, capsys):
    _, out, _ = run(capsys, new, "--head", trained.head, "--csv")
    rows = list(csv.DictReader(io.StringIO(out[1:], newline="")))
    expected = run_json(capsys, new, "--head", trained.head)
    assert list(rows[0]) == ["path", "label", "probability", "error", "spots", "stripes"]
    for row, answer in zip(rows, expected, strict=True):
        assert float(row["spots"]) == pytest.approx(answer["probabilities"]["spots"], abs=1e-6)


def test_a_cache_stands_for_its_newest_head(trained, new, capsys, tmp_path):
    expected = run_json(capsys, new, "--head", trained.head)
    assert run_json(capsys, new, "--cache", trained.cache) == expected
    _, _, err = run(capsys, new, "--cache", trained.cache)
    assert f"head {trained.head}" in err
    code, _, err = run(capsys, new)
    assert (code, err.count("\n")) == (2, 1)
    assert "give --head DIR, or --cache DIR" in err
    FeatureCache.create(tmp_path / "empty")
    code, _, err = run(capsys, new, "--cache", tmp_path / "empty")
    assert (code, "has no head yet" in err) == (1, True)


def test_what_is_not_probable_enough_is_unsure(trained, new, capsys):
    answers = run_json(capsys, new, "--head", trained.head)
    highest = sorted(max(answer["probabilities"].values()) for answer in answers)
    limit = (highest[2] + highest[3]) / 2
    unsure = run_json(capsys, new, "--head", trained.head, "--unsure", limit)
    assert [answer["label"] for answer in unsure].count("unsure") == 3
    assert [answer["probabilities"] for answer in unsure] == [
        answer["probabilities"] for answer in answers
    ]
    _, out, err = run(capsys, new, "--head", trained.head, "--unsure", limit)
    assert out.count("  unsure ") == 3
    surest = {a["path"]: max(a["probabilities"], key=a["probabilities"].get) for a in answers}
    lines = [line for line in out.splitlines() if "  unsure " in line]
    for path in {
        a["path"] for a, u in zip(answers, unsure, strict=True) if a["label"] != u["label"]
    }:
        (line,) = (line for line in lines if line.startswith(f"{path} "))
        assert f"  unsure ({surest[path]})  " in line
    assert len({len(line) for line in out.splitlines()}) == 1
    assert "8 images classified, 0 failed, 3 unsure (37.5%)" in err


@pytest.mark.parametrize("views", [2, 6])
def test_views_are_averaged_the_same_in_any_company(trained, new, capsys, views):
    alone = [
        run_json(capsys, path, "--head", trained.head, "--views", views, "--batch-size", 1)[0]
        for path in sorted(new.glob("*/*.jpg"))
    ]
    together = run_json(capsys, new, "--head", trained.head, "--views", views)
    assert together == [
        {**answer, "path": other["path"]} for answer, other in zip(alone, together, strict=True)
    ]
    single = run_json(capsys, new, "--head", trained.head)
    assert [answer["probabilities"] for answer in single] != [
        answer["probabilities"] for answer in together
    ]
