"""Which ranks are chosen for a loss that is allowed."""

import itertools
import math

import pytest

from engine.factorization.plan import Option, choose_ranks, hull, lost_energy

WIDE = [Option(None, 10, 0.0), Option(48, 6, 0.01), Option(32, 4, 0.05), Option(16, 2, 0.4)]
STUBBORN = [Option(None, 8, 0.0), Option(48, 7.5, 0.2), Option(16, 3, 0.9)]
FIXED = [Option(None, 5, 0.0)]
OPTIONS = {"wide": WIDE, "stubborn": STUBBORN, "fixed": FIXED}


def test_the_hull_leaves_out_what_two_others_are_better_than():
    assert hull(WIDE) == WIDE
    assert hull(STUBBORN) == [STUBBORN[0], STUBBORN[2]]
    assert hull(FIXED) == FIXED
    slower = Option(64, 12, 0.0)
    assert hull([slower, *WIDE]) == WIDE


@pytest.mark.parametrize("lost", [0.0, 0.005, 0.01, 0.05, 0.4, 0.9, 1.0, 1.3, 5.0])
def test_no_other_choice_of_the_same_loss_is_faster(lost):
    ranks = choose_ranks(OPTIONS, lost)
    chosen = [
        next(option for option in options if option.rank == ranks.get(name))
        for name, options in OPTIONS.items()
    ]
    spent = sum(option.lost for option in chosen)
    assert spent <= lost + 1e-12
    for others in itertools.product(*OPTIONS.values()):
        if sum(option.lost for option in others) <= spent + 1e-12:
            assert sum(o.seconds for o in others) >= sum(o.seconds for o in chosen)


def test_what_gains_nothing_is_left_alone():
    assert choose_ranks(OPTIONS, 0.0) == {}
    assert choose_ranks(OPTIONS, 99) == {"wide": 16, "stubborn": 16}


def test_energies_of_several_multiply():
    assert lost_energy(0.9) + lost_energy(0.8) == pytest.approx(lost_energy(0.72))
    assert math.isfinite(lost_energy(0.0))
