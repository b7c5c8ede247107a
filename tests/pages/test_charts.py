"""engine.pages.charts and engine.pages.labels: what is drawn is legible."""

import itertools
import re

import pytest

from engine.pages.charts import HEIGHT, WIDTH, interval_chart
from engine.pages.labels import beside

BOX = (64, 0, WIDTH, HEIGHT)


@pytest.mark.parametrize("gap", [0, 1, 6, 20])
@pytest.mark.parametrize("corner", [(75, 60), (240, 150), (465, 150)])
def test_texts_beside_dots_that_lie_close_touch_no_other(gap, corner):
    dots = [(corner[0] + gap * n, corner[1] + n) for n in (0, 1, -1, 2, -2)]
    dots = [(min(max(x, 70), 470), y) for x, y in dots]
    texts = beside(dots, BOX)
    for (x, y), (other, down) in itertools.combinations(texts, 2):
        assert abs(x - other) >= 15 or abs(y - down) >= 12
    for x, y in texts:
        assert BOX[0] <= x <= BOX[2]
        assert BOX[1] <= y <= BOX[3]


def test_where_all_around_is_taken_there_is_a_text_all_the_same():
    assert len(beside([(200, 100)] * 40, BOX)) == 40


@pytest.mark.parametrize(
    ("least", "ticks"),
    [
        (0.921, ["92%", "94%", "96%", "98%", "100%"]),
        (0.1, ["0%", "20%", "40%", "60%", "80%", "100%"]),
        (0.0, ["0%", "20%", "40%", "60%", "80%", "100%"]),
        (0.994, ["99%", "100%"]),
        (1.0, ["99%", "100%"]),
        (0.73, ["70%", "75%", "80%", "85%", "90%", "95%", "100%"]),
    ],
)
def test_shares_are_round(least, ticks):
    svg = interval_chart(
        [10.0, 20.0],
        [(least, max(least, 0.5), 1.0), (1.0, 1.0, 1.0)],
        marked=[True, False],
        x_label="x",
        y_label="y",
    )
    found = re.findall(r">([0-9.]+%)</text>", svg)
    assert 2 <= len(found) <= 7
    assert float(found[0][:-1]) <= 100 * least
    assert found == ticks


@pytest.mark.parametrize(
    ("seconds", "ticks"),
    [
        ([1.9, 2.7, 12.5, 32.4], ["2", "5", "10", "20"]),
        ([5, 6], ["5"]),
        ([1, 20_000], ["1", "10", "100", "1,000", "10,000"]),
    ],
)
def test_ticks_over_cost_are_decades_or_between(seconds, ticks):
    svg = interval_chart(
        seconds,
        [(0.9, 0.95, 1.0)] * len(seconds),
        marked=[True] * len(seconds),
        x_label="",
        y_label="",
    )
    bottom = max(re.findall(r'y="([0-9.]+)" text-anchor="middle">[0-9]', svg), key=float)
    assert re.findall(rf'y="{bottom}" text-anchor="middle">([0-9,]+)<', svg) == ticks
