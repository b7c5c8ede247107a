"""Products of tall matrices on all cores, to the same bits however many those are.

NumPy's own library would use threads of its own, of a number that is the machine's, beside those
that images are spread over. So it has one, and rows are shared out here: always into as many parts.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np

from engine.graphs.session import available_cores

Part = TypeVar("Part")

_PARTS = 4


def rows_times(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return left @ right, float32 (N, M), of (N, K) and (K, M)."""
    result = np.empty((len(left), right.shape[1]), np.result_type(left, right))

    def one(rows: slice) -> None:
        np.matmul(left[rows], right, out=result[rows])

    _each_part(len(left), one)
    return result


def transposed_times(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return left.T @ right, float32 (K, M), of (N, K) and (N, M)."""
    first, *others = _each_part(len(left), lambda rows: left[rows].T @ right[rows])
    total: np.ndarray = first
    for each in others:
        total += each
    return total


def _each_part(count: int, work: Callable[[slice], Part]) -> list[Part]:
    """Return what work makes of each part of so many rows, in their order."""
    ends = [count * number // _PARTS for number in range(_PARTS + 1)]
    rows = [slice(*two) for two in pairwise(ends)]
    with ThreadPoolExecutor(available_cores()) as pool:
        return list(pool.map(work, rows))
