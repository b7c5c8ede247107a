"""The scikit-learn transformer: any images in, the cache's features out."""

import io
import json
import logging
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from cache.collect import find_garbage
from cache.failures import Failure
from cache.store import FeatureCache
from engine import extract
from engine.estimators.cached_backbone import CachedBackbone
from engine.heads.steadiness import Steadiness
from engine.runner import items as runner_items
from engine.runner import until_steady
from engine.runner.step import compute


def space_of(cache):
    return FeatureCache.open(cache).space()


@pytest.fixture
def passes(monkeypatch):
    """How many images the backbone runs over."""
    from engine.runner import threads

    counts = []

    def counted(backbone, batch):
        counts.append(len(batch.pixels))
        return compute(backbone, batch)

    monkeypatch.setattr(threads, "compute", counted)
    return counts


def test_the_features_are_those_of_the_command_to_the_bit(
    backbone, paths, pictures, tiny_backbone, tmp_path, capsys
):
    arguments = ["--backbone", str(tiny_backbone), "--preprocessing", "tf", "--quiet", "--json"]
    other = tmp_path / "other"
    assert extract.main([str(pictures), "--cache", str(other), *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["space"] == space_of(other).id
    rows = {row.path: row.digest for row in space_of(other).rows()}
    keys = [rows[path.removeprefix(f"{pictures}/")] for path in paths]
    expected = space_of(other).index().read(np.frombuffer(b"".join(keys), np.uint8))
    features = backbone.fit(paths).transform(paths)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, expected)
    assert space_of(backbone.cache).id == space_of(other).id


def test_an_image_is_computed_once_whatever_it_comes_as(backbone, paths, passes):
    first = backbone.transform(paths[:6])
    assert sum(passes) == 6
    encoded = [Path(path).read_bytes() for path in paths[:6]]
    shuffled = [paths[3], encoded[1], paths[0], encoded[3], paths[3]]
    np.testing.assert_array_equal(backbone.transform(shuffled), first[[3, 1, 0, 3, 3]])
    np.testing.assert_array_equal(clone(backbone).transform(np.array(paths[:6])), first)
    assert sum(passes) == 6
    backbone.transform(paths)
    assert sum(passes) == len(paths)


def test_arrays_and_pictures_have_digests_of_their_own(backbone, passes):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 50, 40, 3), np.uint8)
    features = backbone.transform(pixels)
    assert sum(passes) == 3
    np.testing.assert_array_equal(backbone.transform(list(pixels)), features)
    assert sum(passes) == 3
    # The same pixels as a picture are the same features under another digest.
    pictures = [Image.fromarray(array) for array in pixels]
    np.testing.assert_array_equal(backbone.transform(pictures), features)
    assert sum(passes) == 6
    # The same bytes in another shape are another image.
    other = backbone.transform([pixels[0].reshape(40, 50, 3)])
    assert sum(passes) == 7
    assert not np.array_equal(other[0], features[0])
    # Losslessly encoded, they are the same pixels once more.
    file = io.BytesIO()
    pictures[0].save(file, "PNG")
    np.testing.assert_array_equal(backbone.transform([file.getvalue()])[0], features[0])


def test_a_picture_is_turned_by_its_exif(backbone):
    upright = Image.fromarray(np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    upright.rotate(90, expand=True).save(file, "PNG", exif=exif)
    turned = Image.open(io.BytesIO(file.getvalue()))
    expected, as_picture, as_bytes = backbone.transform([upright, turned, file.getvalue()])
    np.testing.assert_array_equal(as_picture, expected)
    np.testing.assert_array_equal(as_bytes, expected)


def test_what_was_given_is_kept_by_gc_call_after_call(backbone, paths):
    for start in range(0, 12, 4):
        backbone.transform(paths[start : start + 4])
    store = FeatureCache.open(backbone.cache)
    assert store.space().datasets() == ["python"]
    assert [row.path for row in store.space().rows()] == paths[:12]
    garbage = find_garbage(store, 0)
    assert (garbage.rows, garbage.spaces) == (0, [])


def test_what_gives_no_feature_is_named_or_a_row_of_nan(backbone, paths, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    images = [paths[0], str(tmp_path / "text.jpg"), b"", str(tmp_path / "none.jpg"), paths[1]]
    for _ in range(2):
        with pytest.raises(Failure, match=r"image 1, .*text.jpg, gives no feature: not an image"):
            backbone.transform(images)
    backbone.set_params(on_error="nan")
    features = backbone.transform(images)
    assert np.isnan(features[1:4]).all()
    np.testing.assert_array_equal(features[[0, 4]], backbone.transform(paths[:2]))


def test_a_file_that_changes_is_another_image(backbone, paths, passes, tmp_path):
    first = backbone.transform(paths[:1])
    path = tmp_path / "changing.jpg"
    for source in paths[:2]:
        path.write_bytes(Path(source).read_bytes())
        features = backbone.transform([path])
    assert not np.array_equal(features, first)
    assert sum(passes) == 2


def test_a_source_gives_features_with_labels(backbone, pictures, passes):
    features = backbone.extract(pictures)
    assert features.X.shape == (24, 24)
    assert features.classes == ("spots", "stripes")
    assert features.counts.tolist() == [12, 12]
    assert sum(passes) == 24
    assert len(backbone.extract(pictures, limit_per_class=3)) == 6
    assert sum(passes) == 24
    assert features.fit_head(seed=0).test.accuracy >= 0.5


def test_scikit_learns_tools_take_it(backbone, paths, labels, passes):
    model = make_pipeline(backbone, LogisticRegression(max_iter=1000))
    assert model.fit(paths, labels).predict(paths[:1])[0] == "spots"
    assert cross_val_score(model, paths, labels, cv=3).shape == (3,)
    assert sum(passes) == 24
    names = backbone.get_feature_names_out()
    assert (len(names), names[0]) == (24, "feature_0")
    frame = clone(backbone).set_output(transform="pandas").transform(pd.Series(paths, name="p"))
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == list(names)
    assert sum(passes) == 24


@pytest.mark.slow
def test_a_grid_search_of_two_processes_computes_nothing_after_an_extraction(
    backbone, pictures, paths, labels
):
    backbone.extract(pictures)
    before = sorted(path.name for path in space_of(backbone.cache).part_paths())
    model = make_pipeline(backbone, LogisticRegression(max_iter=1000))
    search = GridSearchCV(model, {"logisticregression__C": [0.1, 1.0]}, cv=3, n_jobs=2)
    search.fit(paths, labels)
    assert sorted(path.name for path in space_of(backbone.cache).part_paths()) == before


RUN = """
import sys
from pathlib import Path
from engine.estimators.cached_backbone import CachedBackbone
file, cache, *paths = sys.argv[1:]
CachedBackbone(file, preprocessing="tf", cache=cache).transform(paths)
"""


@pytest.mark.slow
def test_two_processes_never_compute_an_image_twice(tiny_backbone, cache, paths):
    command = [sys.executable, "-c", RUN, str(tiny_backbone), cache]
    orders = (paths, paths[::-1], paths[5:] + paths[:5])
    children = [subprocess.Popen([*command, *order]) for order in orders]
    assert [child.wait() for child in children] == [0, 0, 0]
    parts = space_of(cache).parts()
    assert sum(len(part.digests) for part in parts) == len(paths)


def test_a_pickle_holds_the_parameters_and_no_session(backbone, paths):
    features = backbone.transform(paths[:3])
    data = pickle.dumps(backbone)
    assert len(data) < 2000
    assert b"onnxruntime" not in data
    again = pickle.loads(data)
    assert again.get_params() == backbone.get_params()
    np.testing.assert_array_equal(again.transform(paths[:3]), features)


def test_other_parameters_are_other_features(backbone, paths):
    one = backbone.transform(paths[:2])
    other = backbone.set_params(preprocessing="caffe").transform(paths[:2])
    assert not np.array_equal(one, other)
    assert len(FeatureCache.open(backbone.cache).spaces()) == 2


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"backbone": "vgg61"}, "vgg61"),
        ({"precision": "int9"}, "precision int9"),
        ({"interpolation": "cubic"}, "interpolation cubic"),
        ({"crop": "middle"}, "crop middle: choose from squash, center"),
        ({"weights": "nowhere.h5"}, "nowhere.h5"),
        ({"layer": "fc9", "backbone": "vgg16"}, "fc9"),
        ({"pool": "most"}, "no pooling"),
    ],
)
def test_parameters_that_do_not_fit_are_one_line(backbone, parameters, message):
    with pytest.raises(Failure, match=message) as raised:
        backbone.set_params(**parameters).fit(["a.jpg"])
    assert "\n" not in str(raised.value)


def test_a_transform_of_known_images_takes_no_lock_and_loads_nothing(backbone, paths, monkeypatch):
    backbone.transform(paths[:4])
    monkeypatch.setattr(runner_items, "feature_space", None)  # what is needed for the lock
    assert backbone.transform(paths[:4]).shape == (4, 24)


# The rest fits or transforms a matrix of numbers, which is no list of images (docs/python.md).
APPLICABLE = {
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_transformer_n_iter",
    "check_valid_tag_types",
}


class TakesMatrices(CachedBackbone):
    __init__ = CachedBackbone.__init__

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.no_validation = False
        return tags


def test_scikit_learns_own_checks(backbone):
    """All that do not fit or transform a matrix of numbers, which is no list of images."""
    # It says that it takes no matrix, whereupon scikit-learn would check nothing at all.
    backbone.__class__ = TakesMatrices
    results = check_estimator(backbone, on_fail=None, on_skip=None)
    passed = {result["check_name"] for result in results if result["status"] == "passed"}
    assert passed >= APPLICABLE


def test_an_extraction_may_stop_when_more_would_change_nothing(
    backbone, pictures, passes, monkeypatch, caplog
):
    monkeypatch.setattr(until_steady, "looks", lambda *_: iter([12, 24]))
    look = Steadiness(12, 0.9, (0.8, 0.95), 0.3, 0.0, 0.0)
    monkeypatch.setattr(until_steady, "measure_steadiness", lambda *_: look)
    monkeypatch.setattr(until_steady, "is_steady", lambda _, points: points == 2)
    with caplog.at_level(logging.INFO, "engine.estimators"):
        assert len(backbone.extract(pictures, until_steady=True, steady_points=2)) == 12
    assert sum(passes) == 12
    assert "so the rest was left out" in caplog.text
    assert len(backbone.extract(pictures, until_steady=True)) == 24


def test_a_list_is_for_transform(backbone, paths):
    with pytest.raises(TypeError, match=r"one list is no source.* transform takes a list"):
        backbone.extract(paths)


def test_labels_may_come_from_names(backbone, pictures, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in pictures.glob("*/*.jpg"):
        (flat / f"{path.parent.name}.{path.name}").write_bytes(path.read_bytes())
    features = backbone.extract(flat, labels=r"(spots|stripes)\.\d+\.jpg")
    assert features.classes == ("spots", "stripes")
    assert features.counts.tolist() == [12, 12]


def test_what_a_source_holds_is_logged(backbone, pictures, caplog):
    (pictures / "notes.txt").write_text("x")
    with caplog.at_level(logging.INFO, "engine.estimators"):
        backbone.extract(pictures / "spots")
        backbone.extract(pictures)
    said = {record.getMessage(): record.levelname for record in caplog.records}
    assert said["no image has a label"] == "WARNING"
    assert said["24 images of 2 classes: spots 12, stripes 12"] == "INFO"
    assert said["ignored: 1 .txt"] == "INFO"


def test_a_size_is_a_side_or_two():
    requests = [
        CachedBackbone("mobilenet_v2", cache="c", size=size)._request()
        for size in (96, np.int64(96), (96, 96), [96, 128])
    ]
    assert requests[0] == requests[1] == requests[2]
    assert requests[2].backbone.geometry.size == (96, 96)
    assert requests[3].backbone.geometry.size == (96, 128)
    with pytest.raises(Failure, match="give pixels a side"):
        CachedBackbone(cache="c", size=-1)._request()
