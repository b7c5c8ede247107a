"""An extraction that stops when more images would change nothing, and goes on later."""

import json
import shutil
import signal
import zipfile

import numpy as np
import pytest
from PIL import Image

import engine.runner.until_steady
from cache.store import FeatureCache
from engine import extract
from engine.heads.steadiness import measure_steadiness

CLASSES = {"dark": 60, "light": 190}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Pictures that any network tells apart: dark and light ones; a hundred and fifty of each."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for label, level in CLASSES.items():
        (folder / label).mkdir()
        for number in range(250):
            pixels = np.clip(level + rng.normal(0, 12, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


@pytest.fixture
def run(tiny_backbone, tmp_path, capsys):
    def command(source, *more, code=0):
        arguments = [str(source), "--cache", str(tmp_path / "cache"), "--backbone"]
        arguments += [str(tiny_backbone), "--preprocessing", "tf", "--quiet", "--json"]
        assert extract.main([*arguments, *more]) == code
        captured = capsys.readouterr()
        return json.loads(captured.out) if code == 0 else captured.err

    return command


def test_ctrl_c_in_a_look_keeps_what_is_there_and_a_later_run_goes_on(run, photos, monkeypatch):
    """The look ends; no other part is begun, and the message counts what there is."""
    measured = []

    def interrupted(*arguments):
        measured.append(arguments[0].shape[0])
        signal.raise_signal(signal.SIGINT)
        return measure_steadiness(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(engine.runner.until_steady, "measure_steadiness", interrupted)
        message = run(photos, "--until-steady", code=130)
    assert measured == [200]
    assert "stopped; 200 of 500 images are done and kept, run the same command again" in message
    result = run(photos, "--until-steady")
    assert result["hits"] == 200
    assert result["hits"] + result["computed"] == result["steady"]["images"]
    assert run(photos, "--until-steady")["steady"] == result["steady"]


def test_it_stops_early_and_a_later_run_goes_on(run, photos, tmp_path):
    result = run(photos, "--until-steady")
    steady = result["steady"]
    assert steady["stopped"]
    assert steady["accuracy"] > 0.99
    assert 200 <= steady["images"] == result["computed"] == result["samples"] < 500
    rows = FeatureCache.open(tmp_path / "cache").space().rows()
    labels = [row.label for row in rows]
    assert len(rows) == steady["images"]
    assert abs(labels.count("dark") - labels.count("light")) <= 1
    # The same again finds the same; without the option the rest is extracted.
    again = run(photos, "--until-steady")
    assert (again["computed"], again["hits"]) == (0, result["computed"])
    assert again["steady"] == steady
    whole = run(photos)
    assert (whole["hits"], whole["computed"]) == (result["computed"], 500 - result["computed"])
    # An early stop takes no rows away from a cache that has them all.
    run(photos, "--until-steady")
    assert len(FeatureCache.open(tmp_path / "cache").space().rows()) == 500


def test_what_never_gets_steady_is_extracted_whole(run, tmp_path):
    rng = np.random.default_rng(1)
    for label in ("a", "b"):
        (tmp_path / "noise" / label).mkdir(parents=True)
        for number in range(120):
            pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "noise" / label / f"{number}.png")
    result = run(tmp_path / "noise", "--until-steady", "--steady-points", "0.01")
    assert result["samples"] == 240
    assert not result["steady"]["stopped"]
    assert result["steady"]["images"] == 240


def test_what_cannot_be_watched_says_so(run, photos, tmp_path):
    err = run(photos / "dark", "--until-steady", code=2)
    assert "needs two classes" in err
    with zipfile.ZipFile(tmp_path / "few.zip", "w") as archive:
        for label in CLASSES:
            for number in range(5):
                archive.write(photos / label / f"{number}.png", f"{label}/{number}.png")
    result = run(tmp_path / "few.zip", "--until-steady")
    assert result["steady"] == {"accuracy": None, "interval": None, "images": 0, "stopped": False}
    assert result["computed"] == 10


def test_a_source_in_its_own_order_is_no_fair_sample(run, photos, tmp_path):
    packed = shutil.make_archive(str(tmp_path / "photos"), "gztar", photos)
    err = run(packed, "--until-steady", code=2)
    assert "can only be read in its own order, which is no fair sample" in err


@pytest.mark.parametrize("other", [("--shard", "0/2"), ("--prepare",)], ids=lambda words: words[0])
def test_what_sees_not_all_images_is_no_sample(run, photos, other):
    err = run(photos, "--until-steady", *other, code=2)
    assert (other[0] in err, err.count("\n")) == (True, 1)
