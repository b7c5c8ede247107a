"""Which images train a head, choose its strength and judge it: disjoint sides, class by class."""

from dataclasses import dataclass

import numpy as np

from cache.commandline.words import counted
from cache.failures import Failure
from engine.heads.allocation import allocate, even_table, table_of_shares

SIDES = ("train", "validation", "test")

DEFAULT_PERCENTAGES = (70, 15, 15)

# Per cent of the training images of a source's own split that has no validation.
_VALIDATION = 15


@dataclass(frozen=True)
class SplitOptions:
    """How images are divided.

    percentages: of train, validation and test, or of train and test; positive, 100 together. None
        for the split of the sources where they have one, else 70/15/15.
    seed: of who goes where.
    own: insist on the split of the sources.
    group_duplicates: keep near-duplicates on one side, see `engine.heads.neighbours`.
    """

    percentages: tuple[int, ...] | None = None
    seed: int = 0
    own: bool = False
    group_duplicates: bool = False


@dataclass(frozen=True, repr=False)
class Split:
    """Which images are for what: three disjoint arrays of indices, int64, ascending.

    train: what the head is fitted to. validation: what its strength is chosen by; may be empty.
    test: what it is judged by, seen by neither.
    name: in a word, as options give it: `70/15/15`, or `own`.
    remarks: what stands for what the source's own split lacks, a line each.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    name: str = "/".join(map(str, DEFAULT_PERCENTAGES))
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Say in a line how many images each side has."""
        counts = ", ".join(f"{side} {len(self.side(side)):,}" for side in SIDES)
        return f"Split({self.name}: {counts})"

    def side(self, name: str) -> np.ndarray:
        """Return the indices of one of SIDES."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def split(
    labels: np.ndarray,
    options: SplitOptions = SplitOptions(),
    *,
    own: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> Split:
    """Divide images as the source does, or with each class in proportion.

    The totals are the exact shares rounded by largest remainder: 4,999 at 70/15/15 give
    3,499 / 750 / 750. Each class is within one image of its exact share on each side, but that a
    class of very few images goes to training first, and that a group stays whole.

    labels: int64 (N,), 0 to C - 1.
    own: int64 (N,), the source's side of each image, an index into SIDES; -1 for none.
    groups: int64 (N,), equal for images that must be on one side; None for no such.

    Raises:
        Failure: a side would be empty, a class would have no image to train on, or the source's
            split is asked for and there is none.
    """
    has_own = own is not None and bool((own >= 0).any())
    if options.own and not has_own:
        raise Failure("the source has no split of its own; give percentages, as in 70/15/15")
    # What has one side alone (`train` beside unlabelled images) is not divided yet.
    divided = own is not None and (options.own or len(np.unique(own[own >= 0])) > 1)
    if own is not None and divided and options.percentages is None:
        return _own_split(labels, own, options.seed)
    return _by_percentages(labels, options, groups)


def folds(
    labels: np.ndarray, count: int, seed: int = 0, groups: np.ndarray | None = None
) -> np.ndarray:
    """Return each image's fold, int64 (N,), 0 to count - 1: alike in size, class by class.

    groups: as of `split`.

    Raises:
        Failure: a class has fewer than two images, or there are fewer images than folds.
    """
    counts = np.bincount(labels)
    if count > len(labels) or (counts[counts > 0] < 2).any():
        raise Failure(
            f"{len(labels):,} images are too few for {count} folds; each class needs two at least"
        )
    rng = np.random.default_rng(seed)
    return allocate(labels, even_table(counts, count), rng, groups)


def _own_split(labels: np.ndarray, own: np.ndarray, seed: int) -> Split:
    """Return the source's split, where it has images to train on and to judge by."""
    train, validation, test = (np.flatnonzero(own == side) for side in range(len(SIDES)))
    remarks = []
    if not len(test) and len(validation):  # as with ImageNet's download
        validation, test = test, validation
        remarks.append("the source has no test images: its validation images are the test")
    if not len(train) or not len(test):
        raise Failure(
            f"the source's split has {len(train):,} images to train on and {len(test):,} to "
            "judge by; give percentages, as in 70/15/15"
        )
    if not len(validation):
        table = table_of_shares(np.bincount(labels[train]), (100 - _VALIDATION, _VALIDATION))
        side_of = allocate(labels[train], table, np.random.default_rng(seed), None)
        train, validation = train[side_of == 0], train[side_of == 1]
        remarks.append(
            f"the source has no validation images: {len(validation):,} of its {len(side_of):,} "
            f"training images are ({_VALIDATION} %)"
        )
    _check_taught(labels, train)
    return Split(train, validation, test, "own", tuple(remarks))


def _by_percentages(labels: np.ndarray, options: SplitOptions, groups: np.ndarray | None) -> Split:
    percentages = options.percentages or DEFAULT_PERCENTAGES
    name = "/".join(map(str, percentages))
    table = table_of_shares(np.bincount(labels), percentages)
    side_of = allocate(labels, table, np.random.default_rng(options.seed), groups)
    sides = [np.flatnonzero(side_of == side) for side in range(len(percentages))]
    if len(sides) == 2:
        sides.insert(1, np.empty(0, np.int64))
    for side, chosen in zip(SIDES, sides, strict=True):
        if not len(chosen) and (side != "validation" or len(percentages) > 2):
            raise Failure(
                f"{counted(len(labels), 'image')} split {name} leave none for {side}; extract "
                "more images, or divide them otherwise"
            )
    _check_taught(labels, sides[0])
    return Split(sides[0], sides[1], sides[2], name)


def _check_taught(labels: np.ndarray, train: np.ndarray) -> None:
    counts = np.bincount(labels)
    untaught = (counts > 0) & (np.bincount(labels[train], minlength=len(counts)) == 0)
    if untaught.any():
        raise Failure(
            f"{untaught.sum():,} of {len(counts):,} classes have no image left to train on; "
            "extract more images of each class, or give training a larger share"
        )
