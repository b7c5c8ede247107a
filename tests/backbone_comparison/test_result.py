"""Rows of a comparison: which are worth considering."""

import json

import pytest

from cache.failures import Failure
from engine.backbone_comparison.result import Comparison, Measured, with_frontier
from engine.backbone_comparison.write import page, summary, write_comparison
from engine.classifiers.text_columns import display_width


def row(name, accuracy, seconds, **more):
    return Measured(
        name, "0" * 16, "fp32", 100, accuracy, (accuracy - 0.05, min(1.0, accuracy + 0.02)),
        None if seconds is None else 10.0, 9.3, 5120, seconds, **more,
    )  # fmt: skip


ROWS = with_frontier(
    [
        row("best", 0.97, 90.0),
        row("quick", 0.95, 10.0),
        row("beaten", 0.94, 20.0),
        row("twin", 0.95, 10.0),
        row("unknown", 0.96, None),
        row("<script>alert(1)</script>", 0.5, 5.0, stopped=True),
    ]
)


def test_the_frontier_is_what_no_other_beats():
    found = {each.backbone: each.frontier for each in ROWS}
    assert found == {
        "best": True,
        "quick": True,
        "beaten": False,
        "twin": True,
        "unknown": False,
        "<script>alert(1)</script>": True,
    }


def test_the_files_hold_all_rows_and_nothing_of_a_name_runs(tmp_path):
    comparison = Comparison("photos", 1234, tuple(ROWS))
    folder = write_comparison(comparison, tmp_path)
    assert folder.parent == tmp_path / "comparisons"
    records = json.loads((folder / "compare.json").read_text())
    assert [record["backbone"] for record in records] == [each.backbone for each in ROWS]
    assert list(records[0]) == [
        *("backbone", "space", "precision", "images", "accuracy", "interval"),
        *("images_per_second", "model_mb", "feature_bytes", "seconds_to_head"),
        *("stopped", "frontier"),
    ]
    text = (folder / "compare.html").read_text()
    assert text == page(comparison)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    # Another one goes beside it and never over it.
    other = write_comparison(comparison, tmp_path)
    assert other != folder
    assert json.loads((other / "compare.json").read_text()) == records


@pytest.mark.parametrize("name", ["compare.json", "compare.html"])
def test_a_file_of_such_a_name_is_not_replaced(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(Failure, match="give another folder"):
        write_comparison(Comparison("photos", 1234, tuple(ROWS)), tmp_path, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("columns", [60, 80, 132, 250])
def test_on_a_terminal_lines_fit_its_width(tmp_path, columns):
    names = [
        "mobilenet_v2",
        "猫の網" * 9,
        "a_network_of_a_long_name block5_pool avg center 240x32",
    ]
    rows = [row(name, 0.9, 123456.78 / n) for n, name in enumerate(names, 1)]
    comparison = Comparison("photos", 25_000, tuple(with_frontier(rows)))
    *lines, last = summary(comparison, tmp_path, columns).splitlines()
    assert max(map(display_width, lines)) <= columns
    assert len(lines) == (7 if columns < 200 else 4)
    assert "on the frontier" in "\n".join(lines)
    assert "mobilenet_v2 (fp32)" in "\n".join(lines)
    assert last.startswith("page: ")
