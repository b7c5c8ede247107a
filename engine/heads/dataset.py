"""What a head is trained on: the distinct labelled images of a cache, and their split in three."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cache.commandline.printable import printable
from cache.failures import Failure
from cache.index import Index
from cache.rows import Row
from cache.space import Space

SIDES = ("train", "validation", "test")


@dataclass(frozen=True)
class Dataset:
    """Distinct labelled images, in the order of their digests, and what was left out.

    The order of extraction, file names and the number of copies of an image change nothing here.

    classes: the labels that occur, sorted.
    digests: uint8 (N, 32), ascending.
    labels: int64 (N,), indices into `classes`.
    paths: N names, one for each image: the first of those that it goes by.
    duplicates: further samples of the same bytes and label.
    conflicting: images left out because their bytes occur under several labels.
    unlabelled: images left out for want of a label.
    missing: images left out because the cache has lost their features.
    rejected: samples that gave no feature.
    """

    classes: tuple[str, ...]
    digests: np.ndarray
    labels: np.ndarray
    paths: tuple[str, ...]
    duplicates: int = 0
    conflicting: int = 0
    unlabelled: int = 0
    missing: int = 0
    rejected: int = 0

    @property
    def counts(self) -> np.ndarray:
        """How many images each class has: int64 (C,)."""
        return np.bincount(self.labels, minlength=len(self.classes))


def load_dataset(space: Space, index: Index, names: Sequence[str] | None = None) -> Dataset:
    """Return the images of the named datasets of a space, or of all, that `index` holds.

    Raises:
        UsageFailure: there is no dataset of such a name.
        Failure: no image has a label, or all have the same one.
    """
    return _checked(_collected(space.rows(names), index))


def _collected(rows: Iterable[Row], index: Index) -> Dataset:
    found: dict[bytes, dict[str, str]] = {}  # digest -> label -> path
    unlabelled: set[bytes] = set()
    duplicates = rejected = 0
    for row in rows:
        if row.status != "cached":
            rejected += 1
        elif row.label is None:
            unlabelled.add(row.digest)
        else:
            labels = found.setdefault(row.digest, {})
            duplicates += row.label in labels
            labels[row.label] = min(row.path, labels.get(row.label, row.path))
    conflicting = [digest for digest, labels in found.items() if len(labels) > 1]
    for digest in conflicting:
        del found[digest]
    order = sorted(found)
    digests = np.frombuffer(b"".join(order), np.uint8).reshape(-1, 32)
    held = index.contains(digests)
    kept = [found[digest] for digest, there in zip(order, held, strict=True) if there]
    classes = sorted({label for labels in kept for label in labels})
    codes = {label: code for code, label in enumerate(classes)}
    return Dataset(
        tuple(classes),
        digests[held],
        np.array([codes[label] for labels in kept for label in labels], np.int64),
        tuple(path for labels in kept for path in labels.values()),
        duplicates=duplicates,
        conflicting=len(conflicting),
        unlabelled=len(unlabelled - found.keys() - set(conflicting)),
        missing=int((~held).sum()),
        rejected=rejected,
    )


def _checked(dataset: Dataset) -> Dataset:
    if not dataset.classes:
        left_out = (
            f"{dataset.unlabelled} have no label, {dataset.conflicting} have several, "
            f"{dataset.missing} have lost their features, {dataset.rejected} were rejected"
        )
        raise Failure(
            f"no image to train on: {left_out}; extract a source with a folder for each class, "
            "or a CSV with path,label"
        )
    if len(dataset.classes) == 1:
        raise Failure(
            f"all {len(dataset.labels)} images are {printable(dataset.classes[0])}; a head tells "
            "classes apart, so extract at least one more class"
        )
    return dataset


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


def split(
    labels: np.ndarray, percentages: tuple[int, int, int] = (70, 15, 15), seed: int = 0
) -> Split:
    """Divide images into train, validation and test with each class in proportion.

    The three totals are the exact shares rounded by largest remainder: 4,999 at 70/15/15 give
    3,499 / 750 / 750. Each class is within one image of its exact share on each side, but that a
    class of very few images goes to training first.

    labels: int64 (N,), 0 to C - 1. percentages: positive, 100 together.

    Raises:
        Failure: a side would be empty, or a class would have no image to train on.
    """
    counts = np.bincount(labels)
    table = _allocation(counts, percentages)
    for name, total in zip(SIDES, table.sum(axis=0), strict=True):
        if not total:
            raise Failure(
                f"{len(labels)} images split {'/'.join(map(str, percentages))} leave none for "
                f"{name}; extract more images, or choose another --split"
            )
    untaught = (counts > 0) & (table[:, 0] == 0)
    if untaught.any():
        raise Failure(
            f"{untaught.sum()} of {len(counts)} classes have no image left to train on; extract "
            "more images of each class, or give training a larger share by --split"
        )
    rng = np.random.default_rng(seed)
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
