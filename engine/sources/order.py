"""In which order samples are extracted: each prefix a fair sample of the whole."""

import hashlib
import random
from collections.abc import Iterator, Sequence

import numpy as np

from engine.sources.base import Sample
from engine.sources.samples import Samples


def interleave(samples: Sequence[Sample], seed: int) -> Samples:
    """Return a seeded, class-balanced shuffle.

    Each prefix holds each class in the proportion of the whole, give or take one sample, so that a
    pass that stops half-way leaves a fair sample: the k-th of a class's n comes at (k - 1/2) / n.
    """
    table = Samples.of(samples)
    positions = [np.empty(0, np.int64)]
    keys = [np.empty(0)]
    for label, of_class in by_class(table):
        positions.append(_shuffled(of_class, label, seed))
        keys.append((np.arange(len(of_class)) + 0.5) / len(of_class))
    classes = np.repeat(np.arange(len(keys)), [len(key) for key in keys])
    places = np.concatenate(positions)
    return table.taken(places[np.lexsort((places, classes, np.concatenate(keys)))])


def by_class(samples: Samples) -> Iterator[tuple[str | None, np.ndarray]]:
    """Yield each class with the places of its samples; sorted, those without a label first.

    Inside a class by path, so that an archive gives the order that its folder gives.
    """
    if not len(samples):
        return
    order = samples.path_order()
    labels, label_of = samples.classes()
    label_of = label_of[order]
    order = order[np.argsort(label_of, kind="stable")]
    ends = np.cumsum(np.bincount(label_of, minlength=len(labels)))
    each = zip(labels, np.split(order, ends[:-1]), strict=True)
    for label, places in sorted(each, key=lambda entry: (entry[0] is not None, entry[0] or "")):
        if len(places):
            yield label, places


def _shuffled(places: np.ndarray, label: str | None, seed: int) -> np.ndarray:
    """Return a class's places in a seeded order, which no other class has a say in."""
    # "surrogatepass": names on Windows may hold any surrogate.
    key = hashlib.sha256(f"{seed} {label}".encode("utf-8", "surrogatepass")).digest()
    order = places.tolist()
    random.Random(key).shuffle(order)  # noqa: S311 - an order, not a secret
    return np.array(order, np.int64)
