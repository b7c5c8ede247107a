"""Kills and stops workers and schedulers of a Dask cluster while it extracts; by hand, minutes.

    python tests/cluster_faults.py --rounds 20

Each round is a new cache: a worker is killed (SIGKILL) at a random moment of the run, and another
one started. Then rounds in which the scheduler is killed, and one in which one of three workers
stands still for 30 seconds (SIGSTOP). A run completes, or ends with one line and exit code 1 and
completes when it is started again; then the cache has the features that one process makes, bit for
bit, each once, its rows are the same, and all of it is sound. Stops at the first violation.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from cluster_samples import ClusterApart, start_extraction, wait_for_parts
from conftest import write_pictures, write_tiny_backbone
from content_samples import content

from cache.store import FeatureCache
from cache.verify import verify

PICTURES = 160


class Bench:
    """Pictures, a backbone, and what one process makes of them."""

    def __init__(self, work: Path) -> None:
        self.work = work
        os.environ["ONCEOVER_MODELS"] = str(work / "models")
        self.pictures = write_pictures(work / "pictures", PICTURES)
        (self.pictures / "spots" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
        backbone = str(write_tiny_backbone(work / "tiny.onnx"))
        options = ["--backbone", backbone, "--preprocessing", "torch", "--precision", "fp32"]
        self._options = [*options, "--batch-size", "4"]
        finish(self.start(work / "one" / "c"))
        self._expected = content(work / "one")

    def start(self, cache: Path, *more: object):
        return start_extraction(self.pictures, "--cache", cache, *self._options, *more)

    def check(self, cache: Path) -> None:
        """Assert that a cache is what one process makes, then throw it away."""
        assert content(cache.parent) == self._expected, "not what one process gives"
        (space,) = FeatureCache.open(cache).spaces()
        twice = sum(len(keys) for keys, _ in space.index().blocks()) - len(space.index())
        assert not twice, f"{twice} features are read twice"
        verified = verify(FeatureCache.open(cache))
        assert verified.is_sound, (verified.damaged, verified.missing)
        shutil.rmtree(cache.parent)


def finish(process, seconds: float = 300) -> dict:
    out, errors = process.communicate(timeout=seconds)
    assert process.returncode == 0, errors
    return json.loads(out)


def kill_workers(bench: Bench, rounds: int, chance: random.Random) -> None:
    with ClusterApart(bench.work / "kills", 2) as cluster:
        for number in range(rounds):
            cache = bench.work / f"kill-{number}" / "c"
            process = bench.start(cache, "--cluster", cluster.address)
            wait_for_parts(cache, chance.randrange(1, 12), process)
            time.sleep(chance.uniform(0, 0.5))
            assert process.poll() is None, "it was over before the kill"
            alive = [worker for worker in cluster.workers if worker.poll() is None]
            chance.choice(alive).kill()
            cluster.start_worker()
            done = finish(process)
            assert len(done["rejected"]) == 1, done["rejected"]
            parts = len(list(cache.glob("spaces/*/parts/*")))
            bench.check(cache)
            print(f"worker killed, round {number + 1}: complete, equal, {parts} parts", flush=True)


def kill_schedulers(bench: Bench, rounds: int, chance: random.Random) -> None:
    for number in range(rounds):
        cache = bench.work / f"scheduler-{number}" / "c"
        with ClusterApart(bench.work / f"first-{number}", 2) as cluster:
            process = bench.start(cache, "--cluster", cluster.address)
            wait_for_parts(cache, chance.randrange(2, 10), process)
            cluster.scheduler.kill()
            began = time.monotonic()
            _, errors = process.communicate(timeout=300)
            seconds = time.monotonic() - began
            lines = errors.strip().splitlines()
            assert process.returncode == 1, (process.returncode, errors)
            assert ": the cluster failed: the scheduler has gone" in lines[-1], errors
            assert "Traceback" not in errors, errors
        held = sum(len(space.index()) for space in FeatureCache.open(cache).spaces())
        with ClusterApart(bench.work / f"second-{number}", 2) as cluster:
            done = finish(bench.start(cache, "--cluster", cluster.address))
        assert done["computed"] <= 2 * PICTURES - held, (done["computed"], held)
        bench.check(cache)
        print(
            f"scheduler killed, round {number + 1}: one line after {seconds:.0f} s, {held} "
            f"features kept; then {done['computed']} computed, equal",
            flush=True,
        )


def stand_still(bench: Bench, seconds: float) -> None:
    cache = bench.work / "still" / "c"
    with ClusterApart(bench.work / "stopped", 3) as cluster:
        from distributed import Client

        with Client(scheduler_file=str(cluster.address)) as client:
            client.wait_for_workers(3, timeout=120)
        process = bench.start(cache, "--cluster", cluster.address)
        wait_for_parts(cache, 2, process)
        cluster.workers[0].send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        cluster.workers[0].send_signal(signal.SIGCONT)
        finish(process)
        bench.check(cache)
    print(f"one of 3 workers stood still for {seconds:.0f} s: complete, equal", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="in which a worker is killed")
    parser.add_argument("--schedulers", type=int, default=3, help="that are killed")
    parser.add_argument(
        "--still", type=float, default=30, help="seconds that a worker stands still"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        stand_still(bench, arguments.still)
        kill_schedulers(bench, arguments.schedulers, chance)
        kill_workers(bench, arguments.rounds, chance)


if __name__ == "__main__":
    sys.exit(main())
