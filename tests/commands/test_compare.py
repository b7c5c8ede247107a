"""python -m engine.compare: backbones on a user's images."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import write_pictures, write_tiny_backbone

from cache.store import FeatureCache
from engine import compare
from engine.backbone_comparison.candidate import read_candidates
from engine.backbones.store import exported_model


@pytest.fixture
def networks(tmp_path):
    return [write_tiny_backbone(tmp_path / f"net{seed}.onnx", seed) for seed in (0, 1)]


def specs(networks):
    words = []
    for network in networks:
        words += ["--backbone", f"{network}?preprocessing=tf&precision=fp32"]
    return words


@pytest.fixture
def run(tmp_path, capsys):
    def command(*arguments, code=0):
        words = [str(word) for word in arguments]
        assert compare.main([*words, "--cache", str(tmp_path / "cache"), "--quiet"]) == code
        captured = capsys.readouterr()
        return captured.out if code == 0 else captured.err

    return command


def test_a_row_for_each_and_all_of_it_stays_in_the_cache(run, networks, pictures, tmp_path):
    rows = json.loads(run(pictures, *specs(networks), "--json"))
    assert [row["backbone"] for row in rows] == ["net0", "net1"]
    for row in rows:
        assert row["images"] == 24
        low, high = row["interval"]
        assert 0 <= low <= row["accuracy"] <= high <= 1
        assert row["feature_bytes"] == 96
        assert row["images_per_second"] > 0
    assert any(row["frontier"] for row in rows)
    spaces = {
        space.id: len(space.index()) for space in FeatureCache.open(tmp_path / "cache").spaces()
    }
    assert spaces == {row["space"]: 24 for row in rows}
    # Once more: nothing is computed, so that nothing is timed, and the accuracies are the same.
    again = json.loads(run(pictures, *specs(networks), "--json"))
    assert [row["accuracy"] for row in again] == [row["accuracy"] for row in rows]
    assert [row["images_per_second"] for row in again] == [None, None]
    assert len(list((tmp_path / "cache" / "comparisons").iterdir())) == 2


def test_people_get_a_table_and_a_page(run, networks, pictures):
    out = run(pictures, *specs(networks))
    head, *rows, last = out.splitlines()
    assert head.split() == [
        *("accuracy", "95", "%", "interval", "images", "images/s", "s", "to", "a", "head")
    ]
    assert len(rows) == 2
    assert last.endswith("compare.html")


def test_rounds_grow_and_the_hopeless_is_left_behind(run, networks, tmp_path, monkeypatch):
    """One network's heads guess: it is left behind after the first round."""
    from engine.backbone_comparison import compare as comparing

    monkeypatch.setattr(comparing, "_FIRST", 30)
    folder = write_pictures(tmp_path / "many", 60)
    (worse,) = (c.request for c in read_candidates([specs(networks)[3]]))
    cross_validate = comparing.cross_validate

    def guessing(features, *arguments):
        outcome = cross_validate(features, *arguments)
        if features.space.description["weights"] != weights_of(worse):
            return outcome
        guesses = np.tile(np.float32([0.5, 0.5]), (len(features), 1))
        return replace(outcome, scores=replace(outcome.scores, probabilities=guesses))

    monkeypatch.setattr(comparing, "cross_validate", guessing)
    choose, choices = comparing.Extractor.choose, []

    def choosing(extractor, *arguments):
        choices.append(extractor)
        return choose(extractor, *arguments)

    monkeypatch.setattr(comparing.Extractor, "choose", choosing)
    rows = json.loads(run(folder, *specs(networks), "--json"))
    assert [row["stopped"] for row in rows] == [False, True]
    assert rows[0]["images"] == 120
    assert rows[1]["images"] == 30
    assert rows[1]["interval"][1] < rows[0]["interval"][0]
    assert len(choices) == 2  # once for each, not in each round


def weights_of(request):
    return exported_model(request.backbone).description.weights


@pytest.mark.parametrize(
    ("keep", "message"),
    [(1, "two backbones at least"), (2, "needs two classes")],
)
def test_what_cannot_be_compared_says_so(run, networks, pictures, keep, message):
    source = pictures if keep == 1 else pictures / "spots"
    err = run(source, *specs(networks[:keep]), code=2)
    assert (message in err, err.count("\n")) == (True, 1)


def test_a_folder_of_another_comparison_is_refused_before_the_work(
    run, networks, pictures, tmp_path
):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "compare.html").write_text("mine")
    err = run(pictures, *specs(networks), "--out", tmp_path / "page", code=1)
    assert ("give another folder" in err, err.count("\n")) == (True, 1)
    assert not (tmp_path / "cache").exists()
