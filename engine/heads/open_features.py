"""The rows of a cache's datasets into `Features`: each distinct image once, with its label."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise

import numpy as np

from cache.dataset_names import IN_HAND, dataset_named, source_datasets
from cache.rows import Row, class_order
from cache.space import Space
from engine.heads.features import Conflict, Features
from engine.heads.split import SIDES

_log = logging.getLogger(__name__)


def open_features(
    space: Space, datasets: Sequence[str] | None = None, paths: Collection[str] | None = None
) -> Features:
    """Return the features of the named datasets of a space, or of all sources.

    datasets: names as `cache info` shows them, or paths of sources as they were typed. None for
        all but that of images that a program transformed, where there are others.
    paths: of the samples that are meant, as the rows have them; None for all.

    Raises:
        UsageFailure: there is no dataset of such a name.
        Damaged: a dataset's rows are not what was written.
    """
    names = _names(space.datasets(), datasets)
    images = _Images()
    for name in names:
        for row in space.rows([name]):
            if paths is None or row.path in paths:
                images.add(name, row)
    return images.features(space, names)


def _names(known: Sequence[str], datasets: Sequence[str] | None) -> tuple[str, ...]:
    """Return the datasets that are meant: by name, by path, or by the last part of one name."""
    if datasets is None:
        sources = source_datasets(known)
        if len(sources) < len(known):
            _log.info("images that a program transformed are left aside: name %s", IN_HAND)
        return tuple(sources)
    return tuple(dict.fromkeys(dataset_named(known, typed) for typed in datasets))


# A label, a path and a dataset, which bear a name for an image.
_Sample = tuple[str | None, str, str]


@dataclass
class _Images:
    """What the rows say of each digest, gathered one row after another.

    A tuple an image, and more only for those that have several labels: there may be millions.
    """

    samples: dict[bytes, _Sample] = field(default_factory=dict)
    further: dict[bytes, dict[str, _Sample]] = field(default_factory=dict)
    unlabelled: dict[bytes, _Sample] = field(default_factory=dict)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    own_sides: dict[bytes, int] = field(default_factory=dict)
    on_several_sides: set[bytes] = field(default_factory=set)
    duplicates: int = 0

    def add(self, dataset: str, row: Row) -> None:
        """Take a row of a dataset."""
        if row.status != "cached":
            self.rejected.append((row.path, row.reason))
            return
        if row.split is not None:
            side = SIDES.index(row.split)
            earlier_side = self.own_sides.setdefault(row.digest, side)
            if earlier_side != side:
                self.on_several_sides.add(row.digest)
                self.own_sides[row.digest] = min(side, earlier_side)
        sample = (row.label, row.path, dataset)
        if row.label is None:
            known = self.unlabelled.get(row.digest, sample)
            self.unlabelled[row.digest] = _first(known, sample)
            return
        first = self.samples.setdefault(row.digest, sample)
        if first is sample:
            return
        if first[0] == row.label:
            self.duplicates += 1
            self.samples[row.digest] = _first(first, sample)
            return
        labels = self.further.setdefault(row.digest, {})
        self.duplicates += row.label in labels
        labels[row.label] = _first(labels.get(row.label, sample), sample)

    def features(self, space: Space, datasets: tuple[str, ...]) -> Features:
        """Return what was gathered, but for what the space no longer holds; it is used up."""
        conflicts = tuple(
            Conflict(
                digest,
                tuple(
                    (name, path, str(label))
                    for label, path, name in (self.samples[digest], *labels.values())
                ),
            )
            for digest, labels in sorted(self.further.items())
        )
        order = [digest for digest in self.samples if digest not in self.further]
        order += [digest for digest in self.unlabelled if digest not in self.samples]
        order.sort()
        digests = np.frombuffer(b"".join(order), np.uint8).reshape(-1, 32)
        index = space.index()
        held = index.contains(digests)
        chosen = [
            self.samples.get(digest) or self.unlabelled[digest]
            for digest, there in zip(order, held, strict=True)
            if there
        ]
        classes = class_order({label for label, _, _ in chosen if label is not None})
        codes: dict[str | None, int] = {label: code for code, label in enumerate(classes)}
        y = np.array([codes.get(label, -1) for label, _, _ in chosen], np.int64)
        dataset_of = np.array([datasets.index(name) for _, _, name in chosen], np.int64)
        own_sides = np.array(
            [self.own_sides.get(d, -1) for d, there in zip(order, held, strict=True) if there],
            np.int64,
        )
        # The paths lie among what was gathered, and would keep its memory with the process: 160 MB
        # of a million images. All of it goes, and then they are cut out of one text.
        text = "".join(path for _, path, _ in chosen)
        ends = np.cumsum([len(path) for _, path, _ in chosen])
        del chosen, order
        for gathered in (self.samples, self.further, self.unlabelled, self.own_sides):
            gathered.clear()
        return Features(
            space,
            index,
            datasets,
            classes,
            digests[held],
            y,
            tuple(text[start:end] for start, end in pairwise(chain([0], ends))),
            dataset_of,
            own_sides,
            rejected=tuple(self.rejected),
            conflicts=conflicts,
            duplicates=self.duplicates,
            missing=int((~held).sum()),
            on_several_sides=len(self.on_several_sides),
        )


def _first(one: _Sample, other: _Sample) -> _Sample:
    """Return the sample whose path comes first."""
    return one if one[1:] <= other[1:] else other
