"""The demo: its pictures, and its flow with a tiny backbone in VGG16's place."""

import hashlib
import json
import logging

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from cache.store import FeatureCache
from engine.backbones.request import backbone_request
from engine.demo import __main__ as demo
from engine.demo import job as demonstration
from engine.demo.job import EPOCHS, DemoOptions, demonstrate
from engine.demo.pictures import KINDS, SIDE, picture, write_pictures


@pytest.fixture
def tiny(tiny_backbone, monkeypatch):
    """Let the demo use the tiny backbone."""
    request = backbone_request(str(tiny_backbone), "own", None, "caffe")
    monkeypatch.setattr(demonstration, "demo_backbone", lambda: request)
    return request


def test_pictures_are_the_same_on_every_platform():
    pixels = b"".join(picture(kind, number).tobytes() for kind in KINDS for number in range(8))
    assert hashlib.sha256(pixels).hexdigest() == (
        "f0ed1d025ef482c7a8c31d94fe6c6a3d5f2a4da4e77cb0cd1101a92ba73887d2"
    )


def test_pictures_differ_by_number_kind_and_seed():
    seen = {
        picture(kind, number, seed).tobytes()
        for kind in KINDS
        for number in range(10)
        for seed in (0, 1)
    }
    assert len(seen) == 40


def test_pictures_are_written_half_of_each_kind(tmp_path):
    write_pictures(tmp_path, 10)
    for kind in KINDS:
        files = sorted((tmp_path / kind).iterdir())
        assert len(files) == 5
        for file in files:
            with Image.open(file) as image:
                expected = picture(kind, int(file.stem))
                assert np.array_equal(np.asarray(image), expected)
                assert image.size == (SIDE, SIDE)


@pytest.mark.parametrize("model", [LogisticRegression(), KNeighborsClassifier(9)])
def test_the_mean_colour_tells_next_to_nothing_of_the_kind(model):
    kinds = np.arange(400) % len(KINDS)
    means = np.array([picture(KINDS[k], n).mean(axis=(0, 1)) / 255 for n, k in enumerate(kinds)])
    # 400 coin tosses lie within 0.42 and 0.58 in 998 of 1,000 cases.
    assert abs(cross_val_score(model, means, kinds, cv=5).mean() - 0.5) < 0.08


def test_the_second_run_costs_nothing_and_the_head_tells_the_kinds_apart(tiny, caplog):
    caplog.set_level(logging.INFO)
    done = demonstrate(DemoOptions(pictures=60, request=tiny))
    assert done.first.tally.computed == 60
    assert (done.second.tally.computed, done.second.tally.hits) == (0, 60)
    split = done.fit.split
    assert (len(split.train), len(split.validation), len(split.test)) == (42, 9, 9)
    assert done.end_to_end_passes == EPOCHS * (42 + 9) + 9
    assert done.end_to_end_seconds == pytest.approx(519 / done.first.images_per_second)
    assert done.kept is None
    assert "drawing 60 pictures" in caplog.messages[0]
    assert done.fit.train.accuracy > 0.9


@pytest.mark.usefixtures("tiny")
def test_the_table_says_what_was_run(capsys):
    assert demo.main(["--pictures", "40"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].split() == ["images", "backbone", "passes", "seconds"]
    assert lines[1].split()[:4] == ["export,", "once", "0", "0"]
    assert lines[2].split()[:3] == ["extract", "40", "40"]
    assert lines[3].split()[:4] == ["extract", "again", "40", "0"]
    assert lines[4].split()[:5] == ["fit", "the", "head", "28", "0"]
    assert "random" in out
    assert "python -m engine.extract FOLDER --cache DIR" in out
    assert demo.main(["--pictures", "40"], prog="onceover demo") == 0
    assert "  onceover fit --cache DIR" in capsys.readouterr().out
    assert max(map(len, lines)) <= 80


@pytest.mark.usefixtures("tiny")
def test_the_json_has_both_runs(capsys, tmp_path):
    arguments = ["--pictures", "40", "--json", "--quiet", "--cache", str(tmp_path / "kept")]
    assert demo.main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    result = json.loads(captured.out)
    assert result["extract"]["computed"] == 40
    assert result["extract_again"]["computed"] == 0
    assert result["fit"]["classes"] == list(KINDS)
    assert result["end_to_end"]["backbone_passes"] == EPOCHS * (28 + 6) + 6
    assert FeatureCache.open(tmp_path / "kept").space().id == result["extract"]["space"]
    assert (tmp_path / "kept" / "heads").is_dir()
    # Once more on what was kept: nothing is computed at all, and nothing is claimed of its rate.
    assert demo.main(arguments) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["extract"]["computed"] == 0
    assert again["end_to_end"]["seconds_at_the_measured_rate"] is None


def test_too_few_pictures_are_one_line(capsys):
    with pytest.raises(SystemExit, match="2"):
        demo.main(["--pictures", "4"])
    assert "4 pictures are too few" in capsys.readouterr().err


def test_the_demo_asks_for_no_download():
    request = demonstration.demo_backbone()
    assert (request.backbone, request.weights, request.layer) == ("vgg16", "random:0", "fc2")
