"""The report: what it says, and that nothing in a label or a path can do anything."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from fit_samples import labelled_cache
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.estimators.fit import summary, write_fit
from engine.heads.fit import fit
from engine.heads.open_features import open_features
from engine.heads.scores import Bin
from engine.heads.solvers import SolverOptions
from engine.heads.split import SplitOptions
from engine.pages.charts import Axis, line_chart, reliability_chart, round_ticks
from engine.pages.report import report_page

HOSTILE = "</td><script>alert(1)</script>\"'&\u202e\udcff\n"


class Page(HTMLParser):
    """Collects the tags, attributes and text of a page; void or closed, each tag must match."""

    VOID = frozenset({"meta", "path", "circle", "rect", "img"})

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def fitted(path, counts, solver="lbfgs", noise=1.5, **more):
    space = labelled_cache(path, counts, noise=noise, **more)
    return fit(open_features(space), solver=SolverOptions(solver))


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_the_page_says_what_the_fit_came_to(tmp_path, solver):
    result = fitted(tmp_path, {"cat": 120, "dog": 80}, solver)
    page = Page(report_page(result))
    test = result.test
    assert f"{test.accuracy * 100:.2f} %" in page.text
    assert f"{test.loss:.4f}" in page.text
    assert "cat / dog" in page.text
    assert "trained on features of vgg16 fc2 fp32 bilinear" in page.text
    title = "Loss by strength of regularisation" if solver == "lbfgs" else "Loss by epoch"
    assert title in page.text
    assert page.tags.count("svg") == 2
    wrong = np.flatnonzero(test.predicted != test.labels)
    assert len(wrong)
    for number in wrong[:20]:
        assert result.features.paths[result.split.test[number]] in page.text


def test_the_page_needs_nothing_else_and_runs_nothing(tmp_path):
    page = Page(report_page(fitted(tmp_path, {"cat": 60, "dog": 60})))
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    names = {name for name, _ in page.attributes}
    assert not {"src", "href", "srcset", "action"} & names
    assert not [name for name in names if name.startswith("on")]
    policy = next(value for _, value in page.attributes if value and "default-src" in value)
    assert policy.startswith("default-src 'none'")
    assert not re.search(
        r"url\(|@import|https?:", report_page(fitted(tmp_path / "b", {"x": 60, "y": 60}))
    )


def test_labels_and_names_are_shown_and_not_obeyed(tmp_path):
    result = fitted(tmp_path, {HOSTILE: 60, "b": 60, HOSTILE * 20: 60}, name=f"/x/{HOSTILE}")
    page = report_page(result)
    parsed = Page(page)
    assert "script" not in parsed.tags
    assert "<script>alert(1)</script>" in parsed.text
    page.encode("utf-8")  # no lone surrogate is left
    assert "\u202e" not in page
    assert "\n" not in summary(result, tmp_path).splitlines()[0]


def test_a_page_has_the_pictures_of_its_mistakes(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
    for number in range(120):
        label = "cat" if number < 60 else "dog"
        pixels = rng.integers(0, 255, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.jpg")
    source = tmp_path / "photos"
    result = fitted(tmp_path / "c", {"cat": 60, "dog": 60}, noise=4, name=str(source))
    page = Page(report_page(result))
    wrong = int((result.test.predicted != result.test.labels).sum())
    pictures = [value for name, value in page.attributes if name == "src"]
    assert 0 < len(pictures) == min(wrong, 24)
    for picture in pictures:
        data = base64.b64decode(picture.removeprefix("data:image/jpeg;base64,"))
        assert Image.open(io.BytesIO(data)).size == (96, 77)  # of 50 x 40


def test_warnings_come_first(tmp_path):
    result = fitted(tmp_path, {"a": 60, "b": 60, "rare": 1})
    page = Page(report_page(result))
    assert page.text.index("says nothing of: rare") < page.text.index("The surest mistakes")


def test_the_page_names_the_other_heads_of_the_cache_and_how_to_use_this_one(tmp_path):
    result = fitted(tmp_path / "c", {"a": 60, "b": 60})
    write_fit(fit(open_features(result.features.space), SplitOptions((60, 40))), None, report=False)
    folder = write_fit(result, None, report=True)
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert "_60-40_lbfgs_seed0" in page.text
    assert folder.name not in page.text[page.text.index("Earlier heads") :]
    assert f"onceover predict IMAGE --head {folder}" in page.text
    assert "training images" in page.text


def test_the_same_fit_has_the_same_page(tmp_path):
    result = fitted(tmp_path, {"cat": 60, "dog": 60})
    assert report_page(result) == report_page(result)


def test_the_confusion_matrix_is_on_the_page(tmp_path):
    result = fitted(tmp_path, {"a": 100, "b": 100, "c": 100})
    page = report_page(result)
    matrix = page[page.index('<table class="confusion">') :]
    cells = re.findall(r'<td class="(right|wrong)"[^>]*>([\d,]+)</td>', matrix)
    assert [int(count) for _, count in cells] == result.test.confusion.ravel().tolist()
    assert [kind for kind, _ in cells] == ["right" if n % 4 == 0 else "wrong" for n in range(9)]


def test_many_classes_are_listed_by_what_is_taken_for_what(tmp_path):
    result = fitted(tmp_path, {f"class {n:02}": 20 for n in range(30)})
    page = Page(report_page(result))
    assert "What is taken for what" in page.text
    assert "and 10 more, of which more are found" in page.text
    assert ("class", "confusion") not in page.attributes


def test_no_mistake_is_said_so(tmp_path):
    page = Page(report_page(fitted(tmp_path, {"a": 100, "b": 100}, noise=0.01)))
    assert "None: every test image got its label." in page.text


@pytest.mark.parametrize("high", [1e-9, 0.03, 0.7, 1, 1.1, 7, 12345.6])
def test_round_ticks_reach_over_the_highest(high):
    ticks = round_ticks(high)
    assert ticks[0] == 0
    assert ticks[-2] < high <= ticks[-1] * (1 + 1e-9)
    assert 3 <= len(ticks) <= 7


def test_places_on_an_axis():
    linear = Axis(0, 10, 100, 0, (), str)
    assert [linear.place(number) for number in (0, 5, 10)] == [100, 50, 0]
    log = Axis(100, 0.01, 0, 80, (), str, log=True)
    assert [log.place(number) for number in (100, 1, 0.01)] == [0, 40, 80]
    assert Axis(3, 3, 0, 10, (), str).place(3) == 5


def test_charts_of_a_single_point_and_of_zeros():
    one = line_chart([1], [[0.0], [0.0]], ["a", "b"], x_label="x", y_label="y")
    assert one.count("<circle") == 2
    assert "nan" not in one
    assert "nan" not in reliability_chart([Bin(3, 1.0, 1.0)], 0.5)


names = st.text(st.one_of(st.characters(), st.sampled_from("<>&\"'`{}%/\\\n\0\x1b\u202e\udcff")))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A fit, and the tags of its page."""
    result = fitted(tmp_path_factory.mktemp("plain") / "c", {"a": 40, "b": 30}, noise=4.0)
    return result, Page(report_page(result)).tags


@FUZZ
@given(st.lists(names, min_size=2, max_size=2, unique=True), names)
def test_no_name_adds_or_takes_a_tag(plain, classes, name):
    result, tags = plain
    paths = tuple(f"{number}{name}" for number in range(len(result.features)))
    features = replace(result.features, classes=tuple(classes), paths=paths)
    page = Page(report_page(replace(result, features=features)))
    assert page.tags == tags
    assert not any(key.startswith("on") for key, _ in page.attributes)
