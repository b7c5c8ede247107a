"""How many images of each class each side gets, and which: exact, stratified, groups whole."""

from collections.abc import Sequence

import numpy as np


def table_of_shares(counts: np.ndarray, percentages: Sequence[int]) -> np.ndarray:
    """Return how many images of each class each side gets: int64 (C, S), whole in both sums.

    Each class gets its shares rounded down; what it has left goes, one image a side, to the sides
    that lack most. This meets the totals, by the theorem of Gale and Ryser (Ryser, Combinatorial
    Mathematics, 1963, ch. 6), as roundings that meet them exist (Cox, A constructive procedure
    for unbiased controlled rounding, JASA 82, 1987). The first side is that of training.

    counts: int64 (C,). percentages: S of them, 100 together.
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
            untaught = (np.arange(len(row)) == 0) & (row == 0)
            keys = (remainders, lacking, row == before, untaught, lacking > 0)
            side = np.lexsort(keys)[-1]
            row[side] += 1
            lacking[side] -= 1
    return np.asarray(table)


def even_table(counts: np.ndarray, sides: int) -> np.ndarray:
    """Return the same for `sides` of equal shares: int64 (C, sides).

    What one class has left goes to the sides after those that the class before went to.
    """
    table = np.repeat(counts[:, None] // sides, sides, axis=1)
    start = 0
    for row, left in zip(table, counts % sides, strict=True):
        row[(start + np.arange(left)) % sides] += 1
        start += left
    return np.asarray(table)


def allocate(
    labels: np.ndarray, table: np.ndarray, rng: np.random.Generator, groups: np.ndarray | None
) -> np.ndarray:
    """Return each image's side, int64 (N,), as a table (C, S) says.

    groups: int64 (N,), equal for images that go to one side; the table holds as nearly as whole
    groups allow. None for no such.
    """
    side_of = np.full(len(labels), -1)
    places = table.copy()
    if groups is not None:
        for members in _shared(groups, rng):
            wanted = np.bincount(labels[members], minlength=len(table))
            # Where most of what the group needs is free; of equals, the side with most room.
            fitting = np.minimum(places, wanted[:, None]).sum(axis=0)
            side = np.lexsort((places.sum(axis=0), fitting))[-1]
            side_of[members] = side
            places[:, side] -= wanted
    for label, row in enumerate(places):
        shuffled = rng.permutation(np.flatnonzero((labels == label) & (side_of < 0)))
        room = np.maximum(row, 0)
        while room.sum() > len(shuffled):  # a group took more of another side than its share
            room[np.argmax(room)] -= 1
        side_of[shuffled] = np.repeat(np.arange(len(room)), room)
    return side_of


def _shared(groups: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return the members of each group of two or more, the largest first, else in random order."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order[:1]] - 1))
    members = [part for part in np.split(order, starts[1:]) if len(part) > 1]
    shuffled = [members[number] for number in rng.permutation(len(members))]
    return sorted(shuffled, key=len, reverse=True)


def _totals(count: int, percentages: Sequence[int]) -> np.ndarray:
    """Return the sizes of the sides, rounded by largest remainder: int64 (S,)."""
    shares = count * np.array(percentages)
    totals = shares // 100
    order = np.argsort(-(shares % 100), kind="stable")
    totals[order[: count - totals.sum()]] += 1
    return totals
