"""Cached features in the order of an extraction, and where the rule of `--until-steady` stops."""

import numpy as np

from engine.heads.steadiness import is_steady, looks, measure_steadiness


def in_turn(labels: np.ndarray, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the chosen images in an order of which each beginning has each class in proportion."""
    order = rng.permutation(chosen)
    places = np.empty(len(order))
    for label in np.unique(labels):
        members = np.flatnonzero(labels[order] == label)
        places[members] = (np.arange(len(members)) + 0.5) / max(1, len(members))
    ordered: np.ndarray = order[np.argsort(places, kind="stable")]
    return ordered


def steady_after(features: np.ndarray, labels: np.ndarray, seed: int, points: float) -> int:
    """Return after how many of the images, in their order, the rule stops; all if never.

    features: float32 (N, D). labels: int64 (N,), 0 to classes - 1, each there.
    """
    classes = int(labels.max()) + 1
    seen = []
    for count in looks(len(labels), classes, points):
        look = measure_steadiness(features[:count], labels[:count], classes, seed)
        seen += [look] if look is not None else []
        if is_steady(seen, points):
            return count
    return len(labels)
