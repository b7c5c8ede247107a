"""What a solver gives: a head's weights, and how they came about."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, repr=False)
class Solution:
    """Weights float32 (D, C) and biases float32 (C,) for features as they are.

    chosen: as JSON values, `l2`, or `epochs` and `batch_size`.
    history: a point for each strength or epoch, as JSON values.
    """

    weights: np.ndarray
    biases: np.ndarray
    chosen: Mapping[str, Any]
    history: tuple[Mapping[str, Any], ...]

    def __repr__(self) -> str:
        """Say in a line what was chosen, and the shape of the weights."""
        return f"Solution({self.weights.shape}, {dict(self.chosen)})"
