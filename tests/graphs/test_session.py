"""Sessions of one thread, run on all cores: the same bits for any batch and any number."""

import numpy as np
import pytest
from int8_samples import kernel, model, node, pictures, session_of

import engine.graphs.session
from engine.backbones.preprocessing import NETWORK_INPUT, PREPROCESSINGS
from engine.graphs.session import BATCH_SIZE, available_cores, run_over, session
from engine.quantization.quantize import quantize

CONV = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}


def network():
    nodes = [
        node("Conv", f"{NETWORK_INPUT} k0", "a", **CONV),
        node("Relu", "a", "b"),
        node("Conv", "b k1", "c", group=16, **CONV),
        node("Add", "b c", "d"),
        node("MaxPool", "d", "e", kernel_shape=[4, 4], strides=[4, 4]),
        node("Flatten", "e", "f"),
        node("Gemm", "f dense", "features"),
    ]
    constants = {
        "k0": kernel(16, 3, 3, 3, size=0.02),
        "k1": kernel(16, 1, 3, 3),
        "dense": kernel(256, 24),
    }
    return model(nodes, constants, "features")


@pytest.fixture(scope="module", params=["fp32", "int8"])
def serialised(request):
    made = network()
    if request.param == "int8":
        made = quantize(made, PREPROCESSINGS["caffe"], pictures(8), levels=127)
    return made.SerializeToString()


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_features_do_not_depend_on_cores_or_neighbours(serialised, cores, monkeypatch):
    pixels = pictures(11)
    monkeypatch.setattr(engine.graphs.session, "available_cores", lambda: cores)
    runner = session(serialised)
    together = np.concatenate([f for (f,) in run_over(runner, pixels, ["features"])])
    for size in (1, 2, 3, 8, 11):
        for start in range(0, 11, size):
            chosen = slice(start, start + size)
            (alone,) = runner.run(["features"], {"images": pixels[chosen]})
            np.testing.assert_array_equal(alone, together[chosen])


def test_a_thread_more_within_a_run_changes_nothing_of_int8():
    int8 = quantize(network(), PREPROCESSINGS["caffe"], pictures(8), levels=127)
    (expected,) = session(int8.SerializeToString()).run(None, {"images": pictures(11)})
    (found,) = session_of(int8).run(None, {"images": pictures(11)})  # as many as there are cores
    np.testing.assert_array_equal(found, expected)


def test_outputs_come_batch_by_batch_in_order(serialised):
    batches = run_over(session(serialised), pictures(11), ["features", "features"])
    sizes = [len(first) for first, second in batches if np.array_equal(first, second)]
    assert sizes == [BATCH_SIZE] * (11 // BATCH_SIZE) + [11 % BATCH_SIZE]


@pytest.mark.parametrize(("quota", "cores"), [(0.5, 1), (1.0, 1), (1.5, 2), (64.0, None)])
def test_a_quota_bounds_the_cores_and_there_is_always_one(monkeypatch, quota, cores):
    monkeypatch.setattr(engine.graphs.session, "core_quota", lambda: float("inf"))
    every = available_cores()
    assert every >= 1
    monkeypatch.setattr(engine.graphs.session, "core_quota", lambda: quota)
    assert available_cores() == min(every, cores or every)


def test_a_network_that_needs_more_memory_than_there_is_says_so_and_nothing_else(capfd):
    """Of 4 PiB, which no machine gives."""
    nodes = [
        node("ReduceMean", NETWORK_INPUT, "a", axes=[1, 2, 3], keepdims=1),
        node("Expand", "a large", "b"),
        node("ReduceMean", "b", "c", axes=[2, 3], keepdims=0),
        node("Flatten", "c", "features"),
    ]
    large = np.array([1, 1, 2**25, 2**25], np.int64)
    runner = session(model(nodes, {"large": large}, "features").SerializeToString())
    with pytest.raises(MemoryError, match="Failed to allocate memory"):
        run_over(runner, pictures(1), ["features"])
    assert capfd.readouterr() == ("", "")


def test_other_errors_of_a_session_are_what_they_are():
    with pytest.raises(ZeroDivisionError), engine.graphs.session.memory_errors():
        raise ZeroDivisionError
    with pytest.raises(MemoryError), engine.graphs.session.memory_errors():
        raise RuntimeError("Exception during initialization: std::bad_alloc")
