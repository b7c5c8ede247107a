"""What other precisions cost a head: paired differences."""

import numpy as np
import pytest

from benchmarks import parity
from benchmarks.inputs.synthetic import make_two_precisions
from cache.failures import UsageFailure
from cache.rows import Row


def test_what_is_the_same_but_for_a_shift_costs_nothing(tmp_path):
    found = parity.compared(make_two_precisions(tmp_path / "c").spaces(), 2)
    assert found["images"] == 300
    assert found["backbone"] == "drawn_last"
    int8 = found["others"]["int8"]
    assert int8["cosine_min"] > 0.999
    assert int8["accuracy_difference"] == {"mean": 0.0, "standard_error": 0.0}
    assert abs(int8["loss_difference"]["mean"]) < 1e-4
    assert "| int8 " in parity.summary(found)


def test_a_loss_has_the_sign_and_the_error_of_the_paired_means(tmp_path):
    cache = make_two_precisions(tmp_path / "c")
    fp32 = next(space for space in cache.spaces() if space.description["precision"] == "fp32")
    rows = fp32.rows()
    digests = np.frombuffer(b"".join(row.digest for row in rows), np.uint8).reshape(-1, 32)
    noise = np.random.default_rng(1).normal(0, 1, (len(rows), 20)).astype(np.float32)
    fast = cache.add_space({**fp32.description, "precision": "fast"}, 20)
    fast.append(digests, fp32.index().read(digests) + 2 * noise)
    writer = fast.write_dataset("drawn")
    writer.append(Row(row.path, row.label, row.digest, "cached", "") for row in rows)
    writer.finish()
    found = parity.compared(cache.spaces(), 1)["others"]["fast"]
    assert found["accuracy_difference"]["mean"] < -0.02
    assert found["loss_difference"]["mean"] > 0
    assert 0 < found["accuracy_difference"]["standard_error"] < 0.03


def test_a_cache_without_fp32_is_one_line(tmp_path):
    spaces = make_two_precisions(tmp_path / "c").spaces()
    others = [space for space in spaces if space.description["precision"] != "fp32"]
    with pytest.raises(UsageFailure, match="in fp32 and in other precisions"):
        parity.compared(others, 1)
