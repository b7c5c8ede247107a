"""What auto asks of int8, and when a comparison may end before all images."""

from dataclasses import replace

import pytest

from engine.precision.paired_heads import PairedHeads
from engine.precision.parity import Parity
from engine.precision.verdict import is_clear, objections_to

EQUAL = PairedHeads(32, 1.0, 0.98, 0.98, 1.0)
GOOD = Parity(32, 0.999, 0.995, 0.99, 0.02, EQUAL, 10.0, 30.0)
BELOW = replace(EQUAL, other=0.9, p_value=0.01)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rate": 12.0}, "1.20 times as fast is below 1.3"),
        ({"cosine_mean": 0.98}, "mean cosine 0.9800 is below 0.99"),
        ({"cosine_p1": 0.9}, "1st percentile of the cosine 0.9000 is below 0.97"),
        (
            {"head": BELOW},
            "head accuracy 0.9000 instead of 0.9800, which chance alone gives in 1.0%",
        ),
    ],
)
def test_each_threshold_is_an_objection_of_its_own(changes, reason):
    (objection,) = objections_to(replace(GOOD, **changes))
    assert objection.startswith(reason)


@pytest.mark.parametrize(
    "head",
    [
        None,
        EQUAL,
        replace(BELOW, p_value=0.2),  # a loss that chance gives often enough
        replace(EQUAL, other=0.97, p_value=0.01),  # a loss that is sure, and small
    ],
)
def test_heads_are_no_objection_without_a_loss_that_is_large_and_sure(head):
    assert objections_to(replace(GOOD, head=head)) == []


@pytest.mark.parametrize(
    ("changes", "clear"),
    [
        ({}, True),
        ({"head": None}, True),
        ({"images": 16}, False),  # that none of 16 is lost says little
        ({"images": 16, "cosine_mean": 0.9}, True),
        ({"cosine_mean": 0.9949}, False),
        ({"cosine_mean": 0.985}, False),  # too near to be left, too far to be taken
        ({"cosine_mean": 0.979}, True),
        ({"cosine_min": 0.984}, False),
        ({"rate": 16.0}, False),
        ({"rate": 12.0}, False),
        ({"rate": 10.0}, True),
        ({"head": replace(EQUAL, other=0.86, p_value=0.125)}, False),
        ({"head": replace(EQUAL, other=0.92, p_value=0.5)}, True),
    ],
)
def test_a_comparison_ends_where_its_figures_are_far_from_what_is_asked(changes, clear):
    assert is_clear(replace(GOOD, **changes)) == clear
