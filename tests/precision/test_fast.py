"""Which form of a network with fewer multiplications is taken."""

import numpy as np
import pytest
from int8_samples import kernel, model, node, pictures, run

import engine.precision.fast
from engine.backbones.preprocessing import NETWORK_INPUT
from engine.factorization.factorize import features_of
from engine.factorization.float_model import FloatModel
from engine.factorization.plan import Option
from engine.precision.fast import fast_form, survey

NODES = [
    node("Conv", f"{NETWORK_INPUT} k0", "a", strides=[2, 2], pads=[1, 1, 1, 1]),
    node("Relu", "a", "b"),
    node("Conv", "b k1", "c", pads=[1, 1, 1, 1]),
    node("Relu", "c", "d"),
    node("GlobalAveragePool", "d", "p"),
    node("Flatten", "p", "features"),
]
CONSTANTS = {"k0": kernel(16, 3, 3, 3, size=0.02), "k1": kernel(24, 16, 3, 3)}

# Ranks of `c` with what they lose, all of them faster than none.
RANKS = (22, 20, 16, 12, 8, 4)


@pytest.fixture
def losses(monkeypatch):
    """Say what ranks save and lose; return the losses that were asked for."""
    ways = [Option(None, 1.0, 0.0)]
    ways += [Option(rank, rank / 30, 0.0044 * (24 - rank) * (1.24 - 0.01 * rank)) for rank in RANKS]
    asked = []
    choose = engine.precision.fast.choose_ranks

    def note(options, lost):
        asked.append(lost)
        return choose(options, lost)

    monkeypatch.setattr(engine.precision.fast, "options", lambda *_: {"c": ways})
    monkeypatch.setattr(engine.precision.fast, "choose_ranks", note)
    return asked


def network():
    return model(NODES, CONSTANTS, "features")


def shares(monkeypatch, *lost):
    """Say how much of what features may lose each plan loses."""
    left = list(lost)
    monkeypatch.setattr(engine.precision.fast, "share_lost", lambda *_, **__: left.pop(0))


def known():
    return survey(FloatModel(network()), pictures(40))


@pytest.mark.parametrize(
    ("lost", "rank"),
    [
        ((0.2, 0.8), 16),  # there was room: the second plan is faster, and holds
        ((0.7,), 20),  # near enough: there is no second
        ((0.2, 1.5), 20),  # the second went too far: the first stays
        ((1.05, 0.9, 0.8), 22),  # a third where neither holds
        ((4.0, 0.9), None),  # too far at once, and then nothing is left to split
    ],
)
def test_the_second_plan_goes_where_the_first_one_points(monkeypatch, losses, lost, rank):
    monkeypatch.setattr(engine.precision.fast, "_FIRST_LOSS", 0.02)
    shares(monkeypatch, *lost)
    found = fast_form(known())
    assert (found and found.ranks) == (rank and {"c": rank})
    assert len(losses) == len(lost)
    if len(losses) > 1:
        assert losses[1] / losses[0] == pytest.approx(
            np.clip((0.75 / lost[0]) ** 0.7, 1 / 2.5, 2.5)
        )


def test_another_form_loses_less_than_the_one_before(monkeypatch, losses):
    monkeypatch.setattr(engine.precision.fast, "_FIRST_LOSS", 0.05)
    shares(monkeypatch, 0.8, 0.35)
    network = known()
    first = fast_form(network)
    second = fast_form(network, 0.4, first)
    assert (first.ranks, second.ranks) == ({"c": 16}, {"c": 20})
    assert (first.share, second.share) == (0.8, 0.35)
    assert losses[1] / losses[0] == pytest.approx((0.4 / 0.8) ** 0.7)


@pytest.mark.usefixtures("losses")
def test_a_form_that_is_taken_holds_on_other_images():
    found = fast_form(known())
    assert found is not None
    others = pictures(10, seed=9)
    expected, got = run(network(), others), features_of(FloatModel(network()), found.splits, others)
    cosines = (expected * got).sum(1) / np.linalg.norm(expected, axis=1)
    assert (cosines / np.linalg.norm(got, axis=1)).mean() > 0.99


def test_nothing_that_saves_time_is_no_form(monkeypatch):
    monkeypatch.setattr(engine.precision.fast, "options", lambda *_: {"c": [Option(None, 1, 0)]})
    assert fast_form(known()) is None


@pytest.mark.parametrize("count", [8, 16, 64])
def test_images_are_judged_by_that_it_was_not_fitted_to(count):
    pixels = np.arange(count)
    fitted, judged = engine.precision.fast._parts(pixels)
    assert not set(fitted) & set(judged)
    assert 0 < len(judged) <= 16
    assert len(fitted) == min(28, count * 5 // 8)
