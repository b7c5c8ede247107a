"""python -m engine.review, from a cache to a page, a sheet and corrected labels."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from data_review_samples import planted
from PIL import Image

from engine.review import main

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def cache(tmp_path):
    planted(tmp_path / "pets", {20, 40}, copies=3, labels=("cat", HOSTILE))
    return tmp_path / "pets"


def run(capsys, *arguments):
    """Return exit code, stdout and stderr."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_json_has_the_keys_of_the_contract(cache, capsys):
    code, out, err = run(capsys, "--cache", cache, "--json", "--quiet")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert {"labels", "duplicates", "conflicts", "rejected", "outliers"} <= result.keys()
    assert list(result["labels"][0]) == ["path", "label", "suggested", "score"]
    assert list(result["duplicates"][0]) == ["paths", "cosine", "sides"]


def test_a_review_writes_a_page_and_a_sheet_and_replaces_neither(cache, capsys, tmp_path):
    code, out, _ = run(capsys, "--cache", cache, "--out", tmp_path / "review")
    assert code == 0
    assert "near-duplicates: 3 pairs" in out
    sheet = tmp_path / "review" / "review.csv"
    assert out.endswith(f"then: python -m engine.review --apply {sheet} --out labels.csv\n")
    assert "  20.jpg: " in out
    page = (tmp_path / "review" / "review.html").read_text(encoding="utf-8")
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)" in page
    code, _, err = run(capsys, "--cache", cache, "--out", tmp_path / "review", "--quiet")
    assert code == 1
    assert "holds files; give another folder for the review" in err
    for name in ("review.csv", "review.html", "photo.jpg"):
        mine = tmp_path / f"mine {name}" / name
        mine.parent.mkdir()
        mine.write_text("mine")
        assert run(capsys, "--cache", cache, "--out", mine.parent, "--quiet")[0] == 1
        assert mine.read_text() == "mine"
    outs = [json.loads(run(capsys, "--cache", cache, "--json")[1])["out"] for _ in range(2)]
    assert outs[1] == f"{outs[0]}_2"


def test_pictures_are_of_the_source(tmp_path, capsys):
    from fit_samples import labelled_cache

    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
    for number in range(60):
        path = tmp_path / "photos" / ("cat" if number < 30 else "dog") / f"{number}.jpg"
        Image.fromarray(rng.integers(0, 255, (30, 30, 3), np.uint8)).save(path)
    labelled_cache(tmp_path / "c", {"cat": 30, "dog": 30}, noise=4, name=str(tmp_path / "photos"))
    assert run(capsys, "--cache", tmp_path / "c", "--out", tmp_path / "review")[0] == 0
    page = (tmp_path / "review" / "review.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") > 20
    sheet = tmp_path / "review" / "review.csv"
    code, out, _ = run(capsys, "--apply", sheet, "--out", tmp_path / "labels.csv")
    assert code == 0
    assert "60 kept, 0 changed, 0 dropped" in out
    # The dataset by its name: the cache has the images under the labels before as well.
    last = f"then: python -m engine.fit_head --cache DIR --dataset {tmp_path / 'labels.csv'}\n"
    assert out.endswith(last)
    with (tmp_path / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    from engine.sources.open import open_source

    with open_source(tmp_path / "labels.csv") as source:
        assert {(s.path, s.label) for s in source.samples} == {
            (row["path"], row["label"]) for row in rows
        }
        assert all(source.read(sample)[:2] == b"\xff\xd8" for sample in source.samples)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--cache is missing"),
        (["--apply", "x.csv"], "--apply takes a review.csv and --out"),
        (["--apply", "x.csv", "--out", "y", "--cache", "z"], "and no --cache"),
        (["--cache", "x", "--seed", "-2"], "is negative"),
    ],
)
def test_wrong_options_are_one_line(capsys, arguments, message):
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_help_needs_no_numpy():
    program = (
        "import sys\nfrom engine.review import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_images_without_labels_are_reviewed_for_all_else(tmp_path, capsys):
    planted(tmp_path / "pets", copies=3, labels=(None, None))
    code, out, err = run(capsys, "--cache", tmp_path / "pets")
    assert code == 0, err
    assert "no label can be checked" in err
    assert "near-duplicates: 3 pairs" in out
