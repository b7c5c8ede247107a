"""The scales of a network's tensors."""

import numpy as np
import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st

from engine.quantization.network import Quantizer, quantizer_for

LOW, HIGH = st.floats(-1e6, 1e6, width=32), st.floats(-1e6, 1e6, width=32)


@FUZZ
@given(LOW, HIGH)
def test_a_range_is_covered_and_zero_is_exact(one, other):
    low, high = min(one, other), max(one, other)
    found = quantizer_for(low, high)
    assert found.scale.dtype == np.float32
    assert found.scale > 0
    assert 0 <= found.zero_point <= 255
    step = float(found.scale)
    ends = -found.zero_point * step, (255 - found.zero_point) * step
    slack = step / 2 + 1e-6 * max(abs(low), abs(high)) + 1e-12
    assert ends[0] <= min(low, 0) + slack
    assert ends[1] >= max(high, 0) - slack


@pytest.mark.parametrize("ends", [(0, 0), (0, 1e-44), (-1e-300, 0), (5, 5), (-5, -5), (0, 3e38)])
def test_odd_ranges(ends):
    found = quantizer_for(*ends)
    assert np.isfinite(found.scale)
    assert found.scale > 0
    assert found.zero_point == (255 if ends == (-5, -5) else 0)
    assert quantizer_for(0, 0) == Quantizer(np.float32(1), 0)
