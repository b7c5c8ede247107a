"""Samples column by column: a million of them are no million objects."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import overload

import numpy as np

from engine.sources.base import Sample

# Samples that are made of their columns at a time.
_BLOCK = 4096


class Samples(Sequence[Sample]):
    """Samples in an order of theirs, in some 25 bytes of memory each beside the path's own.

    Never changes; any threads may use it. A `Sample` is made when it is asked for. Those that
    `taken` gives share the columns of these.
    """

    def __init__(self, rows: Iterable[Sample]) -> None:
        """Put samples into columns; none of them is held on to."""
        self._paths, self._ends = bytearray(), array("q", [0])
        self._names: list[tuple[str | None, str | None]] = []
        self._code = array("i")
        self._order: np.ndarray | None = None
        codes: dict[tuple[str | None, str | None], int] = {}
        self._by_path, before = True, b""
        for row in rows:
            path = row.path.encode("utf-8", "surrogatepass")
            self._paths += path
            self._ends.append(len(self._paths))
            self._code.append(codes.setdefault((row.label, row.split), len(codes)))
            self._by_path = self._by_path and before <= path
            before = path
        self._names = list(codes)

    @classmethod
    def of(cls, rows: Sequence[Sample]) -> "Samples":
        """Return samples as such, themselves where they are."""
        return rows if isinstance(rows, Samples) else cls(rows)

    def taken(self, places: np.ndarray) -> "Samples":
        """Return the samples at some places, int (N,), in the order of those."""
        same = Samples.__new__(Samples)
        vars(same).update(vars(self))
        same._order = (places if self._order is None else self._order[places]).astype(np.uint32)
        return same

    def renamed(self, labels: Mapping[str, str | None]) -> "Samples":
        """Return the samples with other labels, where there is another for theirs."""
        same = Samples.__new__(Samples)
        vars(same).update(vars(self))
        same._names = [
            (label if label is None else labels.get(label, label), split)
            for label, split in self._names
        ]
        return same

    def path_order(self) -> np.ndarray:
        """Return the places, int64 (N,), in the order of paths; those of one path as they are."""
        if self._by_path and self._order is None:
            return np.arange(len(self))
        paths = [sample.path for sample in self]
        return np.array(sorted(range(len(paths)), key=paths.__getitem__), np.int64)

    def classes(self) -> tuple[list[str | None], np.ndarray]:
        """Return the labels that there are, and which of them each sample has, int (N,)."""
        numbers: dict[str | None, int] = {}
        of_code = [numbers.setdefault(label, len(numbers)) for label, _ in self._names]
        return list(numbers), np.array(of_code, np.int32)[self._codes()]

    def label_counts(self) -> Counter[str | None]:
        """Return how many samples have each label, or none."""
        return self._counts(0)

    def split_counts(self) -> Counter[str | None]:
        """Return how many samples are of each split, or of none."""
        return self._counts(1)

    def _counts(self, part: int) -> Counter[str | None]:
        counts: Counter[str | None] = Counter()
        of_code = np.bincount(self._codes(), minlength=len(self._names)).tolist()
        for names, count in zip(self._names, of_code, strict=True):
            if count:
                counts[names[part]] += count
        return counts

    def _codes(self) -> np.ndarray:
        codes = np.frombuffer(self._code, np.int32) if self._code else np.empty(0, np.int32)
        return codes if self._order is None else codes[self._order]

    def __len__(self) -> int:
        return len(self._code) if self._order is None else len(self._order)

    def __iter__(self) -> Iterator[Sample]:
        for start in range(0, len(self), _BLOCK):
            yield from self._at(range(start, min(start + _BLOCK, len(self))))

    @overload
    def __getitem__(self, place: int) -> Sample: ...

    @overload
    def __getitem__(self, place: slice) -> list[Sample]: ...

    def __getitem__(self, place: int | slice) -> Sample | list[Sample]:
        places = range(len(self))[place]
        if isinstance(places, range):
            return list(self._at(places))
        return next(self._at(range(places, places + 1)))

    def _at(self, places: range) -> Iterator[Sample]:
        order: Iterable[int] = places
        if self._order is not None:
            order = self._order[np.asarray(places, np.int64)].tolist()
        paths, ends, code, names = self._paths, self._ends, self._code, self._names
        for at in order:
            path = paths[ends[at] : ends[at + 1]].decode("utf-8", "surrogatepass")
            yield Sample(path, *names[code[at]])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as a list has none

    def __repr__(self) -> str:
        return f"<{len(self)} samples>"
