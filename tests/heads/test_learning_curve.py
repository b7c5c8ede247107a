"""What more images bring."""

import numpy as np
import pytest
from fit_samples import labelled_cache

from engine.heads.fit import fit
from engine.heads.learning_curve import Point, _stratified, _twice, learning_curve
from engine.heads.open_features import open_features
from engine.heads.solvers import SolverOptions


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_the_curve_ends_in_the_head_itself_and_repeats(tmp_path, solver):
    features = open_features(labelled_cache(tmp_path, {"a": 150, "b": 150}, noise=3))
    result = fit(features, solver=SolverOptions(solver))
    curve = learning_curve(result)
    assert [point.images for point in curve.points] == [10, 20, 50, 100, 200, 210]
    assert curve.points[-1] == Point(210, result.test.accuracy, result.test.loss)
    assert curve.points[0].loss > curve.points[-1].loss
    assert learning_curve(result) == curve


def test_each_class_is_among_the_first_images():
    labels = np.repeat([0, 1, 2], [500, 30, 2])
    chosen = _stratified(labels, 30, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == 30
    assert set(labels[chosen]) == {0, 1, 2}
    assert abs((labels[chosen] == 0).sum() - 28) <= 2


def test_twice_the_images_follow_the_law_of_the_error():
    points = [Point(n, 1 - 0.8 * n**-0.5, 0.0) for n in (50, 100, 200, 400)]
    assert _twice(points) == pytest.approx(1 - 0.8 * 800**-0.5)
    assert _twice(points[:3]) is None
    assert _twice([*points[:3], Point(400, 0.1, 0.0)]) is None
    assert _twice([*points, Point(800, 1.0, 0.0)]) is None
