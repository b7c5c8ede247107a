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
import contextlib
import errno
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from cache_samples import filled, rows_of, vectors
from conftest import write_pictures, write_tiny_backbone
from fit_samples import labelled_cache

from cache.store import FeatureCache
from cache.verify import verify

CHILD = Path(__file__).with_name("fault_child.py")
ROOT = Path(__file__).parents[1]

# Small parts, so that a short run has many of them.
SMALL_PARTS = {"engine.pipeline.PART_BYTES": 4 * 24 * 6}
SMALL_TARGETS = {"cache.rewrite.TARGET_BYTES": 4 * 8 * 30, "cache.compact.TARGET_BYTES": 4 * 8 * 30}


def no_outputs(_: Path) -> dict[str, bytes]:
    return {}


@dataclass(frozen=True)
class Scenario:
    """A command on a folder whose cache `c` is made anew for each fault.

    prepare: fills a new folder; it gets the folder of what is the same in all of them.
    argv: the command's arguments for a folder. settings: of modules, to make a small case rich in
    steps. outputs: what else the command writes; each is whole or absent at any time.
    """

    name: str
    module: str
    prepare: Callable[[Path, Path], None]
    argv: Callable[[Path, Path], list[str]]
    settings: dict[str, int] = field(default_factory=dict)
    outputs: Callable[[Path], dict[str, bytes]] = no_outputs


def prepare_extract(folder: Path, common: Path) -> None:
    """An earlier run over a quarter of the pictures is there, and its features must stay."""
    from engine.extract import main

    source, backbone = common / "pictures", common / "tiny.onnx"
    if not source.exists():
        write_pictures(source, 24)
        write_tiny_backbone(backbone)
    with contextlib.redirect_stdout(io.StringIO()):
        assert main([*argv_extract(folder, common), "--limit-per-class", "6", "--quiet"]) == 0


def argv_extract(folder: Path, common: Path) -> list[str]:
    cut = ["--backbone", str(common / "tiny.onnx"), "--preprocessing", "torch"]
    return [str(common / "pictures"), "--cache", str(folder / "c"), *cut, "--precision", "fp32"]


def prepare_compact(folder: Path, _: Path) -> None:
    space = filled(folder / "c", parts=9)
    digests, features = vectors(90)
    space.append(digests[5:25], features[5:25])


def prepare_merge(folder: Path, _: Path) -> None:
    filled(folder / "c", parts=3)
    space = filled(folder / "d", parts=8)
    space.write_note("parity", {"cosine": 1})
    other = FeatureCache.open(folder / "d").add_space({"backbone": "other"}, 3)
    digests, features = vectors(5, 3)
    other.append(digests, features)
    other.write_dataset("few").append(rows_of(digests))


def prepare_gc(folder: Path, _: Path) -> None:
    """Rows and a space that nothing uses, among others; leftovers of killed processes."""
    space = filled(folder / "c", parts=6)
    digests, features = vectors(60)
    for seed in (3, 4, 5):
        orphans = vectors(5, seed=seed)
        space.append(
            np.concatenate([digests[:9], orphans[0]]), np.concatenate([features[:9], orphans[1]])
        )
    unused = FeatureCache.open(folder / "c").add_space({"backbone": "unused"}, 8)
    unused.append(*vectors(5, seed=6))
    (space.path / "parts" / ".tmp-1").write_bytes(b"half")


def prepare_fit(folder: Path, _: Path) -> None:
    labelled_cache(folder / "c", {"cat": 40, "dog": 40})


def fitted(folder: Path) -> dict[str, bytes]:
    """Return the head; its metrics, which hold seconds, are only there to be whole."""
    from engine.head import load_head

    if not (folder / "head" / "head.npz").exists():
        return {}
    load_head(folder / "head")
    return {"head.npz": (folder / "head" / "head.npz").read_bytes()}


def packed(folder: Path) -> dict[str, bytes]:
    if not (folder / "out.h5").exists():
        return {}
    with h5py.File(folder / "out.h5") as file:
        found = {name: b"".join(map(bytes, file[name][()])) for name in ("features", "digests")}
    (folder / "out.h5").unlink()  # whole: the command may run again
    return found


SCENARIOS = (
    Scenario("extract", "engine.extract", prepare_extract, argv_extract, SMALL_PARTS),
    Scenario(
        "compact",
        "cache.__main__",
        prepare_compact,
        lambda folder, _: ["compact", str(folder / "c")],
        SMALL_TARGETS,
    ),
    Scenario(
        "merge",
        "cache.__main__",
        prepare_merge,
        lambda folder, _: ["merge", str(folder / "c"), str(folder / "d")],
    ),
    Scenario(
        "gc",
        "cache.__main__",
        prepare_gc,
        lambda folder, _: ["gc", str(folder / "c"), "--yes", "--min-age", "0"],
        SMALL_TARGETS,
    ),
    Scenario(
        "fit_head",
        "engine.fit_head",
        prepare_fit,
        lambda folder, _: ["--cache", str(folder / "c"), "--out", str(folder / "head")],
        outputs=fitted,
    ),
    Scenario(
        "pack",
        "cache.__main__",
        prepare_fit,
        lambda folder, _: ["pack", str(folder / "c"), str(folder / "out.h5")],
        outputs=packed,
    ),
)


@dataclass(frozen=True)
class State:
    """All that a cache says: space -> features by digest; space, dataset -> rows, sorted."""

    features: dict[str, dict[bytes, bytes]]
    rows: dict[tuple[str, str], list]


def state(folder: Path) -> State:
    """Return what the cache of a folder says; a warning about damage is a violation."""

    def fail(message):
        raise AssertionError(message)

    found = State({}, {})
    for space in FeatureCache.open(folder / "c").spaces():
        kept = found.features.setdefault(space.id, {})
        for keys, values in space.index(fail).blocks():
            kept.update(zip(map(bytes, keys), map(bytes, values), strict=True))
        for name in space.datasets():
            rows = sorted(space.table([name]), key=lambda row: row.path)
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
            "module": self.scenario.module,
            "argv": self.scenario.argv(folder, self.common),
            "fault": fault,
            "at": at,
            "settings": self.scenario.settings,
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
        damaged = verify(FeatureCache.open(folder / "c")).damaged
        assert not damaged, damaged
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
        assert self.before.rows.keys() <= now.rows.keys(), "a dataset is lost"
        outputs = self.scenario.outputs(folder)
        assert outputs.items() <= self.outputs.items(), "an output is not whole"
        process = self.spawn(folder)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
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
        elif output.splitlines()[-1] == f"steps {self.steps} ":
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
