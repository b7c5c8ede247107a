"""A network that runs over images while its maker does something else."""

import threading
from concurrent.futures import Future

import numpy as np
import pytest
from int8_samples import pictures

import engine.precision.comparison
from engine.backbones.request import backbone_request
from engine.backbones.store import exported_model
from engine.graphs.session import run, session
from engine.precision.comparison import TimedNetwork


@pytest.fixture(scope="module")
def path(tiny_backbone):
    return exported_model(backbone_request(str(tiny_backbone), "imagenet", None, "torch")).path


def test_features_are_those_of_the_file_and_images_begun_twice_run_once(path, monkeypatch):
    ran = []

    def counted(runner, outputs, pixels):
        ran.append(len(pixels))
        return run(runner, outputs, pixels)

    monkeypatch.setattr(engine.precision.comparison, "run", counted)
    images = pictures(6, size=32)
    with TimedNetwork(path) as network:
        network.begin(images[:4])
        network.begin(images[:4])
        network.begin(images)
        features = network.features(6)
        assert len(network.features(3)) == 3
        assert network.rate(6) > 0
        assert network.rate(1) > 0
    assert ran == [1] * 6
    np.testing.assert_array_equal(features, session(path).run(["features"], {"images": images})[0])


@pytest.mark.parametrize(("count", "rate"), [(1, 2 / 8), (2, 2 / 8), (4, 2 / 0.375)])
def test_the_runs_that_allocate_count_only_where_there_are_no_others(
    path, count, rate, monkeypatch
):
    monkeypatch.setattr(engine.precision.comparison, "available_cores", lambda: 2)
    network = TimedNetwork(path)
    for seconds in (8.0, 8.0, 0.5, 0.25):
        network._runs.append(Future())
        network._runs[-1].set_result((np.zeros((1, 4)), seconds))
    assert network.rate(count) == pytest.approx(rate)


def test_what_is_left_begins_no_further_image(path, monkeypatch):
    begun, go_on = [], threading.Event()

    def slow(runner, outputs, pixels):
        begun.append(1)
        go_on.wait(10)
        return run(runner, outputs, pixels)

    monkeypatch.setattr(engine.precision.comparison, "run", slow)
    monkeypatch.setattr(engine.precision.comparison, "available_cores", lambda: 1)
    network = TimedNetwork(path)
    with network:
        network.begin(pictures(8, size=32))
        threading.Timer(0.2, go_on.set).start()
    assert len(begun) <= 1
