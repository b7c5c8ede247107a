"""What another precision changes in a head's answers, in words."""

import pytest

from engine.classifiers.change import Change


@pytest.mark.parametrize(
    ("p_value", "said"),
    [
        (1.0, "(2 lost, 9 won: no measurable change)"),
        (0.065, "(2 lost, 9 won: no measurable change)"),
        (0.021, "(2 lost, 9 won: chance alone gives that in 2.1% of cases)"),
    ],
)
def test_a_change_that_chance_gives_is_none(p_value, said):
    change = Change("fp32", "int8", 300, 0.96, 0.1, 300, 0.9, 0.92, 2, 9, p_value, "pets")
    assert f"accuracy 0.9200 instead of 0.9000 {said}, the same label" in change.summary()
