"""benchmarks.frontier and .overhead: their arithmetic and their chart."""

import numpy as np
import pytest
from conftest import write_pictures

from benchmarks import frontier, overhead
from benchmarks.comparison.frontier_chart import draw_frontier
from benchmarks.measuring.record import record, write_record
from benchmarks.product import labelled_pixels


def row(speed, cosine, heads, multiplications=100):
    return {
        "cosine_mean": cosine,
        "cosine_p1": cosine - 0.01,
        "cosine_min": cosine - 0.02,
        "heads": heads,
        "ranks": None,
        "multiplications": multiplications,
        "rates": [speed],
        "images_per_second": speed,
    }


RESULTS = {
    "backbone": "tiny",
    "images": 40,
    "nothing_to_split": False,
    "making_seconds": 1.0,
    "forms": {
        "fp32": row(10.0, 1.0, [0.9, 0.92]),
        "int8": row(30.0, 0.999, [0.9, 0.91]),
        "fast fp32": row(20.0, 0.995, [0.9, 0.9], 50),
        "fast int8": row(60.0, 0.994, [0.89, 0.9], 50),
    },
}


def test_heads_are_compared_on_the_same_halves():
    forms = RESULTS["forms"]
    points, error = frontier.paired(forms["fast int8"], forms["fp32"])
    assert points == pytest.approx(-1.5)
    assert error == pytest.approx(0.5)


def test_the_table_has_each_form_against_both():
    lines = frontier.summary(RESULTS).splitlines()
    fast = next(line for line in lines if line.startswith("| fast int8"))
    assert [cell.strip() for cell in fast.split("|")][2:6] == ["2.00", "60.0", "6.00", "2.00"]


def test_the_chart_shows_all_that_was_measured(tmp_path):
    write_record(tmp_path, record("frontier_tiny", {}, RESULTS))
    paths = draw_frontier(tmp_path)
    first = [path.read_bytes() for path in paths]
    assert b"tiny" in first[0]
    assert [path.read_bytes() for path in draw_frontier(tmp_path)] == first


def test_images_to_compare_on_are_none_to_calibrate_on(tmp_path):
    write_pictures(tmp_path / "pictures", 12)
    drawn = labelled_pixels(str(tmp_path / "pictures"), 10, (16, 16))
    assert len(drawn.calibration) + len(drawn.pixels) == len(drawn.labels) + len(drawn.calibration)
    known = {each.tobytes() for each in drawn.calibration}
    assert known
    assert not known & {each.tobytes() for each in drawn.pixels}


def test_the_surplus_is_counted_in_images():
    one = {
        "first": {"seconds": 9.0, "images": 100, "peak_mib": 7.0},
        "again": {"seconds": 5.0, "images": 100, "peak_mib": 1.0},
        "more": {"seconds": 7.0, "images": 200, "peak_mib": 1.0},
        "precision": "int8",
    }
    worth = overhead._worth([one])
    assert worth["seconds_per_image"] == pytest.approx(0.02)
    assert worth["images_worth"] == pytest.approx(200)
    assert "as much as 200 images" in overhead.summary(
        {"backbone": "tiny", "rounds": [one], **worth}
    )
    assert np.isfinite(worth["peak_mib"])
