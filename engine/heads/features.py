"""Features of distinct images with their labels: what heads, reviews and comparisons work on."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.commandline.printable import printable
from cache.failures import Failure
from cache.index import Index
from cache.space import Space
from engine.heads.rows import StoredRows

if TYPE_CHECKING:
    import pandas

    from engine.heads.fit import Fit
    from engine.heads.solvers import SolverOptions
    from engine.heads.split import SplitOptions

# Rows of a block, in bytes, where the caller has no wish.
_BLOCK_BYTES = 64 * 2**20


# Conflicts that a message names, and classes that a line counts.
_NAMED, _SHOWN = 3, 10


@dataclass(frozen=True)
class Conflict:
    """An image whose bytes occur under several labels. samples: (dataset, path, label) each."""

    digest: bytes
    samples: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        """Name the labels, and where each is from."""
        return " and ".join(
            f"{printable(label, 40)} in {printable(dataset, 80)}"
            for dataset, label in sorted({(dataset, label) for dataset, _, label in self.samples})
        )


@dataclass(frozen=True, repr=False, eq=False)
class Features:
    """The features of N distinct images, in the order of their digests, read when asked for.

    The order of extraction, file names and the number of copies of an image change nothing here.

    >>> pets = open_features(FeatureCache.open("pets").space())  # doctest: +SKIP
    >>> pets.X.shape, pets.classes  # doctest: +SKIP
    ((4999, 4096), ('cat', 'dog'))

    space, index: where the features are. datasets: names of the datasets that the images are from.
    classes: the labels that occur, sorted; in numeric order where all are whole numbers.
    digests: uint8 (N, 32), ascending.
    y: int64 (N,), indices into `classes`; -1 for an image without a label.
    paths: N names, one for each image: the first of those that it goes by.
    dataset_of: int64 (N,), indices into `datasets`: where that name is from.
    own_sides: int64 (N,), indices into SIDES: where the sources' own split puts each image; -1
        where nowhere. An image that they put on several sides is on the first of them.
    rejected: (path, reason) of each sample that gave no feature.
    conflicts: images left out because their bytes occur under several labels.
    duplicates: further samples of the same bytes and label.
    missing: images left out because the cache has lost their features.
    on_several_sides: images that the sources' own split puts on several sides.
    """

    space: Space
    index: Index
    datasets: tuple[str, ...]
    classes: tuple[str, ...]
    digests: np.ndarray
    y: np.ndarray
    paths: tuple[str, ...]
    dataset_of: np.ndarray
    own_sides: np.ndarray
    rejected: tuple[tuple[str, str], ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    duplicates: int = 0
    missing: int = 0
    on_several_sides: int = 0

    def __len__(self) -> int:
        """Return N."""
        return len(self.y)

    def __repr__(self) -> str:
        """Say how much there is in a line: a cell of a notebook ends in such a value."""
        shown = zip(self.classes[:_SHOWN], self.counts.tolist(), strict=False)
        counts, further = dict(shown), len(self.classes) - _SHOWN
        more = f" and {further:,} classes more" if further > 0 else ""
        return (
            f"Features({len(self)} x {self.dimension}, {counts}{more}, "
            f"{len(self.rejected)} rejected)"
        )

    @cached_property
    def X(self) -> np.ndarray:  # noqa: N802 - what the field calls them
        """The features, float32 (N, D), read from the cache at first use and kept.

        Raises:
            Failure: one is not finite, or is no longer in the cache.
        """
        return self.rows().load().features

    @property
    def dimension(self) -> int:
        """D, the floats of a feature."""
        return self.space.dimension

    @property
    def origins(self) -> dict[str, dict[str, str]]:
        """What is kept of where each dataset's images are, beside its name."""
        return {name: self.space.origin(name) for name in self.datasets}

    @property
    def counts(self) -> np.ndarray:
        """How many images each class has: int64 (C,)."""
        return np.bincount(self.y[self.y >= 0], minlength=len(self.classes))

    @property
    def unlabelled(self) -> int:
        """How many images have no label."""
        return int((self.y < 0).sum())

    def rows(self, chosen: np.ndarray | None = None, *, block: int | None = None) -> StoredRows:
        """Return the rows of the images `chosen`, int64 (M,), or of all, to be read.

        block: how many are in memory at a time; None for 64 MiB of them.
        """
        if chosen is None:
            chosen = np.arange(len(self))
        size = block or max(1, _BLOCK_BYTES // (4 * self.dimension))
        paths = [self.paths[number] for number in chosen]
        return StoredRows(self.index, self.digests[chosen], self.y[chosen], paths, size)

    def blocks(self, block: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (positions int64 (M,), features float32 (M, D)): each image once, as on disk.

        For more than memory: `model.partial_fit(X, pets.y[positions])`. The features are
        overwritten by the next block's. block: M at most; None for 64 MiB.
        """
        return self.rows(block=block).blocks()

    def subset(self, chosen: np.ndarray) -> "Features":
        """Return the images `chosen`, int64 (M,) ascending or bool (N,), under the same classes."""
        numbers = np.arange(len(self))[chosen]
        paths = tuple(self.paths[number] for number in numbers)
        return replace(
            self,
            digests=self.digests[numbers],
            y=self.y[numbers],
            paths=paths,
            dataset_of=self.dataset_of[numbers],
            own_sides=self.own_sides[numbers],
        )

    def labelled(self) -> "Features":
        """Return the images that have a label: what a head is trained on.

        Raises:
            Failure: no image has a label, or all have the same one.
        """
        if not (self.y >= 0).any():
            left_out, advice = self._left_out()
            raise Failure(f"no image to train on{left_out and f': {left_out}'}; {advice}")
        if len(self.classes) == 1:
            left_out, advice = self._left_out()
            one_more = "extract at least one more class"
            raise Failure(
                f"all {(self.y >= 0).sum():,} images are {printable(self.classes[0])}"
                f"{left_out and f' ({left_out})'}; a head tells classes apart, so "
                f"{advice if self.conflicts else one_more}"
            )
        return self if not self.unlabelled else self.subset(self.y >= 0)

    def _left_out(self) -> tuple[str, str]:
        """Return how many images are left out for which reason, and what mends most of them."""
        extract = "extract a source with a folder for each class, or a CSV with path,label"
        reasons = (
            (
                len(self.conflicts),
                f"several labels, {self.named_conflicts()}",
                self._one_label_each(),
            ),
            (self.unlabelled, "no label", extract),
            (self.missing, "lost their features", "run the extraction again"),
            (len(self.rejected), "been rejected", "look at why, and extract other images"),
        )
        there = [
            f"{count:,} {'has' if count == 1 else 'have'} {reason}"
            for count, reason, _ in reasons
            if count
        ]
        most, _, advice = max(reasons, key=lambda reason: reason[0])
        return ", ".join(there), advice if most else extract

    def _one_label_each(self) -> str:
        sources = {dataset for conflict in self.conflicts for dataset, _, _ in conflict.samples}
        if len(sources) < 2:
            return "give each image one label, and extract again"
        return f"choose one of the datasets, such as {printable(min(sources), 80)}, or forget one"

    def named_conflicts(self) -> str:
        """Return which labels and datasets are in conflict, the first few of them, in a line."""
        kinds = sorted({str(conflict) for conflict in self.conflicts})
        more = f"; and {len(kinds) - _NAMED} other ways" if len(kinds) > _NAMED else ""
        return "; ".join(kinds[:_NAMED]) + more

    def fit_head(
        self,
        *,
        split: "SplitOptions | None" = None,
        solver: "SolverOptions | None" = None,
        seed: int = 0,
    ) -> "Fit":
        """Train a head on the labelled images and score it, see `engine.heads.fit.fit`.

        seed: of the split and the solver, where these are left out.
        """
        from engine.heads.fit import fit
        from engine.heads.solvers import SolverOptions
        from engine.heads.split import SplitOptions

        return fit(self, split or SplitOptions(seed=seed), solver or SolverOptions(seed=seed))

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas DataFrame, an image a row: index `path`, `label`, then the D floats.

        Raises:
            Failure: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise Failure("a frame needs pandas, which is not installed: pip install pandas") from (
                error
            )
        index = pandas.Index(self.paths, name="path")
        names = [f"feature_{number}" for number in range(self.dimension)]
        frame = pandas.DataFrame(self.X, index=index, columns=names)
        labels: list[Any] = [self.classes[code] if code >= 0 else None for code in self.y]
        frame.insert(0, "label", labels)
        return frame
