"""The fault harness in small; `tests/fault_harness.py` strikes at every step of every command."""

import random

import pytest
from fault_harness import SCENARIOS, ready


@pytest.fixture(scope="session")
def common(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_killed_at_any_step_nothing_is_lost(common, scenario):
    bench = ready(scenario, common)
    bench.strike("kill", random.randint(1, bench.steps))
    if scenario.name == "extract":
        bench.kill_after(random.uniform(0, bench.seconds))


@pytest.mark.parametrize("fault", ["ENOSPC", "EDQUOT", "EROFS", "EIO"])
def test_an_error_at_any_step_is_one_line(common, fault):
    bench = ready(random.choice(SCENARIOS), common)
    bench.strike(fault, random.randint(1, bench.steps))
