"""Which images train a head, choose its strength and judge it: disjoint sides, class by class."""

from dataclasses import dataclass

import numpy as np

from cache.failures import Failure

SIDES = ("train", "validation", "test")


@dataclass(frozen=True)
class SplitOptions:
    """How images are divided.

    percentages: of train, validation and test; positive, 100 together. seed: of who goes where.
    """

    percentages: tuple[int, int, int] = (70, 15, 15)
    seed: int = 0


@dataclass(frozen=True)
class Split:
    """Which images are for what: three disjoint arrays of indices, int64, ascending.

    train: what the head is fitted to. validation: what its strength is chosen by. test: what it
    is judged by, seen by neither.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def side(self, name: str) -> np.ndarray:
        """Return the indices of one of SIDES."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def split(labels: np.ndarray, options: SplitOptions = SplitOptions()) -> Split:
    """Divide images into train, validation and test with each class in proportion.

    The three totals are the exact shares rounded by largest remainder: 4,999 at 70/15/15 give
    3,499 / 750 / 750. Each class is within one image of its exact share on each side, but that a
    class of very few images goes to training first.

    labels: int64 (N,), 0 to C - 1.

    Raises:
        Failure: a side would be empty, or a class would have no image to train on.
    """
    percentages = options.percentages
    counts = np.bincount(labels)
    table = _allocation(counts, percentages)
    for name, total in zip(SIDES, table.sum(axis=0), strict=True):
        if not total:
            raise Failure(
                f"{len(labels)} images split {'/'.join(map(str, percentages))} leave none for "
                f"{name}; extract more images, or divide them otherwise"
            )
    untaught = (counts > 0) & (table[:, 0] == 0)
    if untaught.any():
        raise Failure(
            f"{untaught.sum()} of {len(counts)} classes have no image left to train on; extract "
            "more images of each class, or give training a larger share"
        )
    rng = np.random.default_rng(options.seed)
    sides: tuple[list[np.ndarray], ...] = ([], [], [])
    for label, row in enumerate(table):
        shuffled = rng.permutation(np.flatnonzero(labels == label))
        for side, chosen in zip(sides, np.split(shuffled, np.cumsum(row)[:-1]), strict=True):
            side.append(chosen)
    return Split(*(np.sort(np.concatenate(side)) for side in sides))


def _allocation(counts: np.ndarray, percentages: tuple[int, int, int]) -> np.ndarray:
    """Return how many images of each class each side gets: int64 (C, 3), whole in both sums.

    Each class gets its shares rounded down; what it has left goes, one image a side, to the sides
    that lack most. This meets the totals, by the theorem of Gale and Ryser (Ryser, Combinatorial
    Mathematics, 1963, ch. 6), as roundings that meet them exist (Cox, A constructive procedure
    for unbiased controlled rounding, JASA 82, 1987).
    """
    shares = counts[:, None] * np.array(percentages)
    table = shares // 100
    lacking = _totals(int(counts.sum()), percentages) - table.sum(axis=0)
    # Classes without a training image choose first, while training still lacks some.
    for label in np.argsort(table[:, 0] > 0, kind="stable"):
        row, remainders = table[label], shares[label] % 100
        before = row.copy()
        for _ in range(counts[label] - row.sum()):
            # The last key decides first.
            untaught = (np.arange(3) == 0) & (row == 0)
            keys = (remainders, lacking, row == before, untaught, lacking > 0)
            side = np.lexsort(keys)[-1]
            row[side] += 1
            lacking[side] -= 1
    return np.asarray(table)


def _totals(count: int, percentages: tuple[int, int, int]) -> np.ndarray:
    """Return the sizes of the sides, rounded by largest remainder: int64 (3,)."""
    shares = count * np.array(percentages)
    totals = shares // 100
    order = np.argsort(-(shares % 100), kind="stable")
    totals[order[: count - totals.sum()]] += 1
    return totals
