"""Kills and starves the product's commands at every write step and at random moments.

    python tests/fault_harness.py --runs 300              kills: each step, then random moments
    python tests/fault_harness.py --fault ENOSPC          a full disk from each step on
    python tests/fault_harness.py --only compact --seed 1

After each fault the cache opens and verifies, every row that says `cached` has its feature, no
feature that was there before is lost, and the same command then gives what an undisturbed run
gives: the same features bit for bit, the same rows. After an error, not a kill, the command has
also said so in one line and ended with exit code 1. Prints a line a scenario; stops at the first
violation.
"""

import argparse
import errno
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from fault_scenarios import SCENARIOS, Scenario

from cache.store import FeatureCache
from cache.verify import verify

CHILD = Path(__file__).with_name("fault_child.py")
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class State:
    """All that a cache says: space -> features by digest; space, dataset -> rows, sorted."""

    features: dict[str, dict[bytes, bytes]]
    rows: dict[tuple[str, str], list]


def state(folder: Path) -> State:
    """Return what the cache of a folder says; a warning about damage is a violation."""
    strict = _Strict()
    logging.getLogger("cache").addHandler(strict)
    try:
        return _state(folder)
    finally:
        logging.getLogger("cache").removeHandler(strict)


class _Strict(logging.Handler):
    def emit(self, record):
        raise AssertionError(record.getMessage())


def _state(folder: Path) -> State:
    found = State({}, {})
    for space in FeatureCache.open(folder / "c").spaces():
        kept = found.features.setdefault(space.id, {})
        for keys, values in space.index().blocks():
            kept.update(zip(map(bytes, keys), map(bytes, values), strict=True))
        for name in space.datasets():
            # Whether a file's status is kept hangs on how long ago it was written.
            plain = (replace(row, stat=None) for row in space.rows([name]))
            rows = sorted(plain, key=lambda row: row.path)
            if rows:
                found.rows[space.id, name] = rows
    return found


@dataclass(frozen=True)
class Bench:
    """A scenario made ready: its template, and what a run without a fault does.

    steps, seconds: of that run. before, finished: the state before and after it.
    """

    scenario: Scenario
    common: Path
    template: Path
    steps: int = 0
    seconds: float = 0.0
    before: State | None = None
    finished: State | None = None
    outputs: dict[str, bytes] = field(default_factory=dict)

    def fresh(self) -> Path:
        """Return a new copy of the template."""
        folder = Path(tempfile.mkdtemp(dir=self.common)) / "case"
        shutil.copytree(self.template, folder)
        return folder

    def spawn(self, folder: Path, fault: str = "kill", at: int = 0) -> subprocess.Popen:
        """Start the command with a fault at step `at`; 0 for none. Wait until it is ready."""
        order = {
            "module": self.scenario.module.__name__,
            "argv": self.scenario.argv(folder, self.common),
            "fault": fault,
            "at": at,
            "settings": [(owner.__name__, *rest) for owner, *rest in self.scenario.settings],
        }
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        process = subprocess.Popen(
            [sys.executable, str(CHILD), json.dumps(order)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )
        assert process.stdout.readline() == "ready\n", process.communicate()
        return process

    def check(self, folder: Path) -> None:
        """Assert that the cache is whole after a fault, and that the command then finishes."""
        verified = verify(FeatureCache.open(folder / "c"))
        assert verified.is_sound, (verified.damaged, verified.missing)
        now = state(folder)
        for (space, name), rows in now.rows.items():
            cached = [row for row in rows if row.status == "cached"]
            lacking = [row.path for row in cached if row.digest not in now.features[space]]
            assert not lacking, f"{name}: rows without features: {lacking}"
        for space, features in now.features.items():
            known = self.before.features.get(space, {}) | self.finished.features.get(space, {})
            assert features.items() <= known.items(), "features that nobody computed"
        for space, features in self.before.features.items():
            stay = features.keys() & self.finished.features.get(space, {}).keys()
            assert stay <= now.features.get(space, {}).keys(), "features are lost"
        stay = self.before.rows.keys() & self.finished.rows.keys()
        assert stay <= now.rows.keys(), "a dataset is lost"
        for name in now.rows.keys() - self.finished.rows.keys():
            assert now.rows[name] == self.before.rows[name], "some rows of it are forgotten"
        outputs = self.scenario.outputs(folder)
        assert outputs.items() <= self.outputs.items(), "an output is not whole"
        process = self.spawn(folder)
        _, errors = process.communicate()
        done = self.scenario.once and now == self.finished
        assert process.returncode == 0 or done, errors
        assert state(folder) == self.finished, "not what an undisturbed run gives"
        assert self.scenario.outputs(folder) == self.outputs
        if self.scenario.name == "gc":
            spaces = {path.name for path in (folder / "c" / "spaces").iterdir()}
            assert spaces == self.finished.features.keys(), "something is left of a space"
            assert not list((folder / "c").rglob(".tmp-*"))

    def strike(self, fault: str, at: int) -> None:
        """Let a fault happen at a step, and check what it leaves."""
        folder = self.fresh()
        process = self.spawn(folder, fault, at)
        output, errors = process.communicate()
        if fault == "kill":
            assert process.returncode not in (0, 1), f"not killed at step {at}: {errors}"
        elif output.endswith(f"steps {self.steps} \n"):
            assert process.returncode == 0, errors  # nothing but deletions came after
        else:
            assert process.returncode == 1, f"exit {process.returncode}: {errors}"
            assert "Traceback" not in errors, errors
            reason = os.strerror(getattr(errno, fault))
            assert sum(reason in line for line in errors.splitlines()) == 1, errors
        self.check(folder)
        shutil.rmtree(folder.parent)

    def kill_after(self, seconds: float) -> bool:
        """Kill a run so long after it is ready, and check; return whether it was at work."""
        folder = self.fresh()
        process = self.spawn(folder)
        time.sleep(seconds)
        process.kill()
        process.communicate()
        self.check(folder)
        shutil.rmtree(folder.parent)
        return process.returncode != 0


def ready(scenario: Scenario, common: Path) -> Bench:
    """Make a scenario ready: its template, and one run without a fault."""
    template = Path(tempfile.mkdtemp(dir=common))
    scenario.prepare(template, common)
    bench = Bench(scenario, common, template)
    folder = bench.fresh()
    before = state(folder)
    process = bench.spawn(folder)
    started = time.monotonic()
    output, errors = process.communicate()
    seconds = time.monotonic() - started
    assert process.returncode == 0, errors
    steps = int(output.splitlines()[-1].split()[1])
    outputs = scenario.outputs(folder)
    return Bench(scenario, common, template, steps, seconds, before, state(folder), outputs)


def main() -> int:
    """Run the harness as a script; return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=300, help="kills in all, at the least")
    parser.add_argument("--fault", default="kill", help="kill, or an error such as ENOSPC")
    parser.add_argument("--only", choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    options = parser.parse_args()
    chosen = [s for s in SCENARIOS if options.only in (None, s.name)]
    rng = random.Random(options.seed)
    total = 0
    with tempfile.TemporaryDirectory() as common:
        os.environ["ONCEOVER_MODELS"] = str(Path(common) / "models")
        for scenario in chosen:
            started = time.monotonic()
            bench = ready(scenario, Path(common))
            for at in range(1, bench.steps + 1):
                bench.strike(options.fault, at)
            moments = 0
            if options.fault == "kill":
                moments = max(0, -(-options.runs // len(chosen)) - bench.steps)
                at_work = sum(
                    bench.kill_after(rng.uniform(0, bench.seconds)) for _ in range(moments)
                )
            total += bench.steps + moments
            said = f", {moments} random moments ({at_work} at work)" if moments else ""
            print(
                f"{scenario.name}: {options.fault} at each of {bench.steps} steps{said}; "
                f"{time.monotonic() - started:.0f} s",
                flush=True,
            )
    print(f"{total} faults, no violation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
