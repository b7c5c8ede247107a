"""The rows of a cache's datasets into `Features`: each distinct image once, with its label."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from cache.dataset_names import dataset_named
from cache.rows import Row, class_order
from cache.space import Space
from engine.heads.features import Conflict, Features
from engine.heads.split import SIDES


def open_features(
    space: Space, datasets: Sequence[str] | None = None, paths: Collection[str] | None = None
) -> Features:
    """Return the features of the named datasets of a space, or of all.

    datasets: names as `cache info` shows them, or paths of sources as they were typed.
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
        return tuple(known)
    return tuple(dict.fromkeys(dataset_named(known, typed) for typed in datasets))


@dataclass
class _Images:
    """What the rows say of each digest, gathered one row after another."""

    samples: dict[bytes, dict[str, tuple[str, str]]] = field(default_factory=dict)
    unlabelled: dict[bytes, tuple[str, str]] = field(default_factory=dict)
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
        if row.label is None:
            sample = (row.path, dataset)
            self.unlabelled[row.digest] = min(sample, self.unlabelled.get(row.digest, sample))
        else:
            labels = self.samples.setdefault(row.digest, {})
            self.duplicates += row.label in labels
            sample = (row.path, dataset)
            labels[row.label] = min(sample, labels.get(row.label, sample))

    def features(self, space: Space, datasets: tuple[str, ...]) -> Features:
        """Return what was gathered, but for what the space no longer holds."""
        conflicts = tuple(
            Conflict(digest, tuple((name, path, label) for label, (path, name) in labels.items()))
            for digest, labels in sorted(self.samples.items())
            if len(labels) > 1
        )
        images: dict[bytes, tuple[str | None, tuple[str, str]]] = {
            digest: (label, sample)
            for digest, labels in self.samples.items()
            if len(labels) == 1
            for label, sample in labels.items()
        }
        for digest, sample in self.unlabelled.items():
            if digest not in self.samples:
                images[digest] = (None, sample)
        order = sorted(images)
        digests = np.frombuffer(b"".join(order), np.uint8).reshape(-1, 32)
        index = space.index()
        held = index.contains(digests)
        chosen = [images[digest] for digest, there in zip(order, held, strict=True) if there]
        classes = class_order({label for label, _ in chosen if label is not None})
        codes: dict[str | None, int] = {label: code for code, label in enumerate(classes)}
        return Features(
            space,
            index,
            datasets,
            classes,
            digests[held],
            np.array([codes.get(label, -1) for label, _ in chosen], np.int64),
            tuple(path for _, (path, _) in chosen),
            np.array([datasets.index(name) for _, (_, name) in chosen], np.int64),
            np.array(
                [self.own_sides.get(d, -1) for d, there in zip(order, held, strict=True) if there],
                np.int64,
            ),
            rejected=tuple(self.rejected),
            conflicts=conflicts,
            duplicates=self.duplicates,
            missing=int((~held).sum()),
            on_several_sides=len(self.on_several_sides),
        )
