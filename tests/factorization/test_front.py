"""Images on their way through a network."""

import numpy as np
import pytest
from int8_samples import kernel, model, node, pictures, run

import engine.factorization.front
from engine.backbones.preprocessing import NETWORK_INPUT
from engine.factorization.float_model import FloatModel
from engine.factorization.front import Front

CONV = {"pads": [1, 1, 1, 1]}
NODES = [
    node("Conv", f"{NETWORK_INPUT} k0", "a", **CONV),
    node("Relu", "a", "b"),
    node("MaxPool", "b", "small", kernel_shape=[2, 2], strides=[2, 2]),
    node("Conv", "small k1", "c", **CONV),
    node("Conv", "small k2", "d", **CONV),
    node("Add", "c d", "e"),
    node("Conv", "e k3", "f", **CONV),
    node("Concat", "f small", "g", axis=1),
    node("GlobalAveragePool", "g", "p"),
    node("Flatten", "p", "features"),
]
CONSTANTS = {"k0": kernel(8, 3, 3, 3), **{f"k{n}": kernel(8, 8, 3, 3, seed=n) for n in (1, 2, 3)}}
LOOKS = (("c", "small"), ("d", "small"), ("f", "e"))

# Bytes of what is needed after the pooling, of seven images of 16 x 16.
SMALL = 7 * 8 * 8 * 8 * 4


@pytest.fixture
def proto():
    return model(NODES, CONSTANTS, "features")


def seen(front, looks):
    """Return what is seen at the places of nodes, and where the images are kept then."""
    values, places = {}, []
    for before, name in looks:
        found = values.setdefault((before, name), {})
        place = next(n for n, entry in enumerate(front.nodes) if before in entry.output)
        front.look(place, name, found.__setitem__)
        places.append(front.place)
    return {key: np.stack([found[n] for n in range(7)]) for key, found in values.items()}, places


@pytest.mark.parametrize(("limit", "kept"), [(0, 0), (SMALL, 1), (2 * SMALL, 2), (10**9, 2)])
def test_the_same_is_seen_wherever_images_are_kept(proto, limit, kept):
    """What is small is read twice; at `f` it and the sum are needed."""
    pixels = pictures(7)
    inner = inner_networks(["small", "e"])
    front = Front(FloatModel(proto), pixels, limit)
    values, places = seen(front, LOOKS)
    assert len(set(places) - {0}) == kept
    for (_, name), value in values.items():
        np.testing.assert_allclose(value, run(inner[name], pixels), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(front.finish(), run(proto, pixels), rtol=1e-4, atol=1e-4)


def inner_networks(names):
    """Return models that end with inner tensors."""
    cut = {}
    for name in names:
        last = next(n for n, entry in enumerate(NODES) if name in entry.output)
        used = {each for entry in NODES[: last + 1] for each in entry.input}
        cut[name] = model(
            NODES[: last + 1], {k: v for k, v in CONSTANTS.items() if k in used}, name
        )
    return cut


def test_no_more_than_the_limit_is_kept(proto):
    front = Front(FloatModel(proto), pictures(7), SMALL)
    seen(front, LOOKS)
    made = {name: array for name, array in front.tensors.items() if name != "images"}
    assert sum(array.nbytes for array in made.values()) <= SMALL


def test_what_follows_goes_on_from_other_tensors(proto):
    pixels = pictures(7)
    front = Front(FloatModel(proto), pixels)
    place = next(n for n, entry in enumerate(front.nodes) if "f" in entry.output)
    front.look(place + 1, "f", lambda *_: None)
    zeros = np.zeros_like(front.tensors["f"])
    assert not front.finish({"f": zeros})[:, :8].any()
    assert front.finish()[:, :8].any()


def test_threads_change_nothing(proto, monkeypatch):
    first = Front(FloatModel(proto), pictures(7)).finish()
    monkeypatch.setattr(engine.factorization.front, "available_cores", lambda: 7)
    np.testing.assert_array_equal(Front(FloatModel(proto), pictures(7)).finish(), first)
