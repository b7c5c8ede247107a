"""The fault harness in small; `tests/fault_harness.py` strikes at every step of every command."""

import random

import pytest
from fault_harness import ready
from fault_scenarios import SCENARIOS


@pytest.fixture(scope="session")
def benches(tmp_path_factory):
    """Each scenario made ready, when it is first wanted."""
    common, made = tmp_path_factory.mktemp("faults"), {}

    def bench(scenario):
        if scenario.name not in made:
            made[scenario.name] = ready(scenario, common)
        return made[scenario.name]

    return bench


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.slow
def test_killed_at_any_step_nothing_is_lost(benches, scenario):
    bench = benches(scenario)
    bench.strike("kill", random.randint(1, bench.steps))


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_lost(benches):
    bench = benches(SCENARIOS[0])
    bench.kill_after(random.uniform(0, bench.seconds))


@pytest.mark.slow
def test_an_error_at_any_step_is_one_line(benches):
    for scenario in random.sample(SCENARIOS, 2):
        bench = benches(scenario)
        fault = random.choice(["ENOSPC", "EDQUOT", "EROFS", "EIO"])
        bench.strike(fault, random.randint(1, bench.steps))
