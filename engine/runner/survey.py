"""What a source holds and what would be extracted of it, said before any backbone runs."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.sources.open import Sample, Source, open_source
from engine.sources.order import interleave, select


@dataclass(frozen=True)
class Selection:
    """Which samples of a source: a seeded, stratified choice, the same for every kind of source.

    fraction: of each class, above 0 and at most 1; None for all.
    limit_per_class: at most so many of each class; None for all.
    seed: of the choice and of the order.
    """

    fraction: float | None = None
    limit_per_class: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Survey:
    """An open source and the samples chosen of it. A context manager, which closes the source.

    location: as it was given. samples: in the order of extraction, a class-balanced shuffle where
    the source can be read in any order. dataset: the name that their rows go under in a cache.
    adds: whether their rows are added to those that the dataset has; else they are all of it.
    seconds: what the look took.
    """

    location: str
    dataset: str
    source: Source
    samples: Sequence[Sample]
    selection: Selection = Selection()
    seconds: float = 0.0
    adds: bool = False

    @property
    def classes(self) -> Mapping[str, int]:
        """How many of the samples each class has, by name."""
        labels = Counter(sample.label for sample in self.samples if sample.label is not None)
        return dict(sorted(labels.items()))

    def payload(self) -> dict[str, Any]:
        """Return what was found as JSON values."""
        return {
            "source": self.location,
            "classes": dict(self.classes),
            "samples": len(self.samples),
            "ignored": self.source.ignored,
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


def survey(location: str | Path, selection: Selection = Selection()) -> Survey:
    """Open a source and choose samples of it. Close the result, or use it in a `with` block.

    Raises:
        Failure: there is no such source, it cannot be read, or it holds no images.
    """
    started = time.perf_counter()
    source = open_source(location)
    samples = select(
        source.samples,
        fraction=selection.fraction,
        limit_per_class=selection.limit_per_class,
        seed=selection.seed,
    )
    if not source.sequential:
        samples = interleave(samples, selection.seed)
    seconds = time.perf_counter() - started
    return Survey(str(location), dataset_name(location), source, samples, selection, seconds)


def dataset_name(location: str | Path) -> str:
    """Return the name that a source's rows go under in a cache: its absolute path."""
    return str(Path(location).resolve())
