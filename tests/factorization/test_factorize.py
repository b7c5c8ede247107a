"""A network of fewer multiplications that answers as the true one does."""

import numpy as np
import onnx
import pytest
from int8_samples import kernel, model, node, pictures, run

import engine.factorization.factorize
import engine.factorization.front
import engine.factorization.two_ways
from engine.backbones.preprocessing import NETWORK_INPUT
from engine.factorization.convolutions import split_convolutions
from engine.factorization.factorize import factorize, features_of
from engine.factorization.float_model import FloatModel
from engine.factorization.truth import true_answers

CONV = {"pads": [1, 1, 1, 1]}
CHAIN = [
    node("Conv", f"{NETWORK_INPUT} k0 bias", "a", **CONV),
    node("Relu", "a", "b"),
    node("Conv", "b k1 bias", "c", strides=[2, 2], **CONV),
    node("Relu", "c", "d"),
    node("Conv", "d k2", "e", **CONV),
    node("Relu", "e", "f"),
]
BRANCHES = [
    *CHAIN[:2],
    node("Conv", "b k1 bias", "c", **CONV),
    node("Conv", "b k2", "d", **CONV),
    node("Concat", "c d", "e", axis=1),
    node("Conv", "e k3", "f", **CONV),
]


def low_rank(outputs, inputs, rank, seed):
    """Return a kernel of no more channels between down and across than `rank`, but for a little."""
    down, across = kernel(rank, inputs, 3, 1, seed=seed), kernel(outputs, rank, 1, 3, seed=seed)
    noise = 0.02 * kernel(outputs, inputs, 3, 3, seed=seed + 1)
    whole = np.einsum("rihx,oryw->oihw", down, across)
    return (whole / whole.std() * noise.std() / 0.02 + noise).astype(np.float32)


CONSTANTS = {
    "k0": kernel(16, 3, 3, 3, size=0.02),
    "k1": low_rank(16, 16, 6, 1),
    "k2": low_rank(16, 16, 6, 3),
    "k3": low_rank(16, 32, 6, 5),
    "bias": np.linspace(-0.5, 0.5, 16).astype(np.float32),
}


def network(nodes):
    ended = [
        *nodes,
        node("GlobalAveragePool", nodes[-1].output[0], "p"),
        node("Flatten", "p", "features"),
    ]
    used = {name for entry in ended for name in entry.input}
    return model(ended, {k: v for k, v in CONSTANTS.items() if k in used}, "features")


def splits_of(proto, ranks, pixels):
    network = FloatModel(proto)
    return factorize(network, ranks, pixels, true_answers(network, pixels, len(pixels)))


def split_form(proto, ranks, pixels):
    """Return a network whose convolutions are split."""
    split = onnx.ModelProto()
    split.CopyFrom(proto)
    split_convolutions(split, splits_of(proto, ranks, pixels))
    return split


@pytest.mark.parametrize(
    ("nodes", "ranks"),
    [
        (CHAIN, {"c": 6, "e": 6}),
        (CHAIN, {"a": 12, "c": 6, "e": 6}),
        (BRANCHES, {"c": 6, "d": 6, "f": 6}),
        (BRANCHES, {"d": 6}),
    ],
)
def test_it_comes_close_on_other_images(nodes, ranks):
    proto = network(nodes)
    before = proto.SerializeToString(deterministic=True)
    split = split_form(proto, ranks, pictures(12))
    assert proto.SerializeToString(deterministic=True) == before
    onnx.checker.check_model(split, full_check=True)
    kernels = {c.name: c.dims[0] for c in split.graph.initializer if c.name.endswith("/narrow")}
    assert kernels == {f"{name}/narrow": rank for name, rank in ranks.items()}
    others = pictures(10, seed=7)
    expected, got = run(proto, others), run(split, others)
    spread = np.linalg.norm(expected - expected.mean(axis=0))
    assert np.linalg.norm(got - expected) < (0.2 if "a" in ranks else 0.1) * spread


def test_no_ranks_change_nothing():
    proto = network(CHAIN)
    split = split_form(proto, {}, pictures(4))
    np.testing.assert_array_equal(run(split, pictures(3)), run(proto, pictures(3)))


def test_layers_after_a_poor_one_take_back_what_they_can(monkeypatch):
    """Against layers that are fitted as if those before them were true."""
    proto, others = network(CHAIN), pictures(10, seed=7)
    ranks = {"a": 4, "c": 6, "e": 6}
    expected = run(proto, others)

    def off():
        return np.linalg.norm(run(split_form(proto, ranks, pictures(24)), others) - expected)

    knowing = off()
    monkeypatch.setattr(engine.factorization.two_ways, "_correction", lambda *_: 0)
    assert knowing < 0.9 * off()


def test_the_same_ranks_and_pixels_give_the_same_bytes(monkeypatch):
    def bytes_of():
        split = split_form(network(BRANCHES), {"c": 4, "f": 5}, pictures(9))
        return split.SerializeToString(deterministic=True)

    first = bytes_of()
    monkeypatch.setattr(engine.factorization.front, "available_cores", lambda: 7)
    assert bytes_of() == first


@pytest.mark.parametrize("limit", [0, 10_000])
def test_little_memory_changes_nothing(monkeypatch, limit):
    """Images start again from where they were kept last, and come to the same."""
    proto, ranks, pixels = network(BRANCHES), {"c": 6, "d": 6, "f": 6}, pictures(9)
    first = splits_of(proto, ranks, pixels)
    front = engine.factorization.front.Front
    monkeypatch.setattr(
        engine.factorization.factorize, "Front", lambda *given: front(*given, limit=limit)
    )
    for name, split in splits_of(proto, ranks, pixels).items():
        np.testing.assert_allclose(split.narrow, first[name].narrow, rtol=1e-3, atol=1e-4)


def test_the_true_features_are_the_network_s_of_all_images():
    proto, pixels = network(BRANCHES), pictures(6)
    truth = true_answers(FloatModel(proto), pixels, 4)
    assert all(len(each.values) == 4 for each in truth.answers.values())
    np.testing.assert_allclose(truth.features, run(proto, pixels), rtol=1e-4, atol=1e-5)


def test_the_features_are_those_of_the_split_network():
    proto, pixels = network(BRANCHES), pictures(6)
    splits = splits_of(proto, {"c": 6, "f": 6}, pixels)
    split = onnx.ModelProto()
    split.CopyFrom(proto)
    split_convolutions(split, splits)
    got = features_of(FloatModel(proto), splits, pixels)
    np.testing.assert_allclose(got, run(split, pixels), rtol=1e-4, atol=1e-5)
