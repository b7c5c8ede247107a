"""What a source holds and what would be extracted of it, said before any backbone runs."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from cache.commandline.printable import printable
from cache.commandline.words import counted
from cache.failures import UsageFailure
from cache.files import home_path
from cache.rows import class_order
from cache.share import Share
from engine.sources.again import origin_of
from engine.sources.base import BY_ITSELF, Sample, Source, SourceOptions
from engine.sources.choice import select
from engine.sources.open import count_kinds, open_source
from engine.sources.order import interleave
from engine.sources.remote.address import is_remote, unsigned
from engine.sources.samples import Samples
from engine.sources.split_names import SIDES

# Classes named in one line.
_NAMED = 6


@dataclass(frozen=True)
class Selection:
    """Which samples of a source: a seeded, stratified choice, the same for every kind of source.

    fraction: of each class, above 0 and at most 1; None for all.
    limit_per_class: at most so many of each class; None for all.
    seed: of the choice and of the order.
    share: only those of one of several disjoint shares, chosen by path; None for all.
    """

    fraction: float | None = None
    limit_per_class: int | None = None
    seed: int = 0
    share: Share | None = None


@dataclass(frozen=True)
class Survey:
    """An open source and the samples chosen of it. A context manager, which closes the source.

    location: as it was given. samples: in the order of extraction, a class-balanced shuffle where
    the source can be read in any order. dataset: the name that their rows go under in a cache.
    adds: whether their rows are added to those that the dataset has; else they are all of it.
    seconds: what the look took. options: what was said of the source, to open it elsewhere.
    """

    location: str
    dataset: str
    source: Source
    samples: Sequence[Sample]
    selection: Selection = Selection()
    seconds: float = 0.0
    adds: bool = False
    options: SourceOptions = BY_ITSELF

    @property
    def place(self) -> str:
        """Where the source is, for processes of other folders: its absolute path, or address."""
        return self.location if is_remote(self.location) else self.dataset

    @property
    def origin(self) -> dict[str, str]:
        """What leads to the images again, beside the dataset's name."""
        return origin_of(self.options)

    @property
    def classes(self) -> Mapping[str, int]:
        """How many of the samples each class has, by name; whole numbers in numeric order."""
        counts = Samples.of(self.samples).label_counts()
        labels = {label: count for label, count in counts.items() if label is not None}
        return {label: labels[label] for label in class_order(labels)}

    @property
    def paths(self) -> frozenset[str]:
        """The paths of the samples, as their rows in a cache have them."""
        return frozenset(sample.path for sample in self.samples)

    @property
    def splits(self) -> Mapping[str, int] | None:
        """How many of the samples each split has; None where the source has none."""
        counts = Samples.of(self.samples).split_counts()
        splits = {split: count for split, count in counts.items() if split is not None}
        order = [side for side in SIDES if side in splits]
        order += sorted(splits.keys() - set(SIDES))
        return {split: splits[split] for split in order} or None

    def lines(self) -> list[str]:
        """Return what was found, and what was guessed for that, a line each."""
        classes, splits = self.classes, self.splits
        labelled = sum(classes.values())
        lines = []
        if classes:
            of = f"{counted(labelled, 'image')} of {counted(len(classes), 'class', 'classes')}"
            lines.append(f"{of}: {named_counts(classes)}")
        if unlabelled := len(self.samples) - labelled:
            lines.append(f"{counted(unlabelled, 'image')} without a label")
        if splits:
            lines.append(f"splits: {named_counts(splits)}")
        if share := self.selection.share:
            lines.append(
                f"share {share.index} of {share.count} (from 0), "
                f"{counted(len(self.samples), 'image')} of it"
            )
        if self.source.ignored:
            lines.append(f"ignored: {count_kinds(self.source.ignored_kinds)}")
        return lines + list(self.source.guesses)

    def absence(self) -> str | None:
        """Return a line about samples whose files are not there; None where none is known of.

        Takes a look at each file that a table lists.
        """
        absent = [sample.path for sample in self.samples if not self.source.is_there(sample)]
        if not absent:
            return None
        return (
            f"not there: {len(absent):,} of {counted(len(self.samples), 'file')}, such as "
            f"{printable(absent[0])}; {self.source.advice}"
        )

    def check_fair(self) -> None:
        """Raise UsageFailure unless the first samples, so many as there may be, are a fair sample.

        Where a source can only be read in its own order, its first images may be all of a class.
        """
        if self.source.sequential:
            raise UsageFailure(
                f"{self.location} can only be read in its own order, which is no fair sample; "
                "give a folder, a .zip or an unpacked .tar"
            )

    def payload(self) -> dict[str, Any]:
        """Return what was found as JSON values; `share` where it is one of several."""
        share = self.selection.share
        return {
            "source": self.location,
            "classes": dict(self.classes),
            "splits": dict(self.splits) if self.splits else None,
            "samples": len(self.samples),
            "ignored": self.source.ignored,
            "ignored_kinds": dict(self.source.ignored_kinds),
            **({} if share is None else {"share": [share.index, share.count]}),
        }

    def __enter__(self) -> "Survey":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.source.close()


def survey(
    location: str | Path,
    selection: Selection = Selection(),
    options: SourceOptions = BY_ITSELF,
) -> Survey:
    """Open a source and choose samples of it. Close the result, or use it in a `with` block.

    options: what is not to be guessed.

    Raises:
        Failure: there is no such source, it cannot be read, it holds no images, or cannot be
            understood without more options.
        UsageFailure: the options do not fit it.
    """
    started = time.perf_counter()
    source = open_source(location, options)
    try:
        samples = select(
            source,
            fraction=selection.fraction,
            limit_per_class=selection.limit_per_class,
            seed=selection.seed,
        )
    except BaseException:
        source.close()
        raise
    if not source.sequential:
        samples = interleave(samples, selection.seed)
    if (share := selection.share) is not None:
        samples = Samples(sample for sample in samples if share.holds(sample.path))
    seconds = time.perf_counter() - started
    name = dataset_name(location)
    return Survey(str(location), name, source, samples, selection, seconds, options=options)


def dataset_name(location: str | Path) -> str:
    """Return the name that a source's rows go under in a cache: its absolute path, or address.

    Without the parameters that sign an address, which are nobody else's and differ each time.
    """
    if is_remote(location):
        return unsigned(str(location))
    return str(home_path(location).resolve())


def named_counts(counts: Mapping[str, int]) -> str:
    """Return names with their counts: a few, then how many more there are."""
    shown = [f"{printable(name, 40)} {count:,}" for name, count in list(counts.items())[:_NAMED]]
    more = f" and {len(counts) - _NAMED} more" if len(counts) > _NAMED else ""
    return ", ".join(shown) + more
