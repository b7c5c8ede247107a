"""Whether this CPU's 8-bit products keep their sums; the same without VNNI, emulated."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import engine.backbones.saturation
from engine.backbones.saturation import FULL_LEVELS, REDUCED_LEVELS, weight_levels


class Saturating:
    """A session whose sums of two products end at 16 bits, as `vpmaddubsw` has them."""

    def __init__(self, model):
        assert FULL_LEVELS.to_bytes(1, "little") * 64 in model  # the weights, in whatever form

    def run(self, _, feeds):
        pixels = feeds["pixels"].astype(int)
        pairs = pixels[:, 0::2] * FULL_LEVELS + pixels[:, 1::2] * FULL_LEVELS
        sums = np.minimum(pairs, 2**15 - 1).sum(axis=1)
        return [np.repeat(sums[:, None], 16, axis=1).astype(np.int32)]


def test_sums_that_saturate_are_found(monkeypatch):
    monkeypatch.setattr(engine.backbones.saturation, "session", Saturating)
    assert weight_levels() == REDUCED_LEVELS


def test_reduced_weights_cannot_reach_16_bits_and_one_more_level_can():
    assert 2 * 255 * REDUCED_LEVELS <= 2**15 - 1 < 2 * 255 * (REDUCED_LEVELS + 1)


def test_the_answer_is_one_of_the_two_and_stays():
    assert {weight_levels() for _ in range(3)} in ({FULL_LEVELS}, {REDUCED_LEVELS})


@pytest.mark.skipif(
    shutil.which("qemu-x86_64") is None, reason="no qemu-x86_64 here (Debian: qemu-user)"
)
def test_a_haswell_is_told_apart_and_computes_reduced_weights_exactly(tmp_path):
    command = [sys.executable, "-m", "benchmarks.saturation", "--json", str(tmp_path / "out.json")]
    root = Path(__file__).parents[2]
    finished = subprocess.run(command, cwd=root, capture_output=True, encoding="utf-8")
    assert finished.returncode == 0, finished.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["levels"]["emulated"] == REDUCED_LEVELS
    rows = {(row["weights"], row["levels"]): row for row in found["rows"]}
    assert len(rows) == 4
    for weights in ("normal", "large"):
        assert rows[weights, REDUCED_LEVELS]["equal"] == 1.0
        assert rows[weights, REDUCED_LEVELS]["cosine_emulated"] > 0.999
    if found["levels"]["here"] == FULL_LEVELS:
        assert rows["large", FULL_LEVELS]["difference"] > 0.1
        assert rows["large", FULL_LEVELS]["cosine_here"] > 0.999
        assert rows["large", FULL_LEVELS]["cosine_emulated"] < 0.99
