"""Near-duplicates by the cosine of their features around the mean: exact, in blocks, screened.

What all images of a source have in common (photographs of streets, drawings, radiographs) makes
strangers alike, with some backbones more than with others. Less their mean, one threshold does for
all of them (docs/decisions/041).


A seeded Gaussian projection to a few floats keeps cosines to a known accuracy (Dasgupta & Gupta,
An elementary proof of a theorem of Johnson and Lindenstrauss, 2003), so most pairs of wide
features need no more than a short product; the others are checked on all floats.
"""

from dataclasses import dataclass

import numpy as np

# Two images of at least this cosine are taken for the same picture: encoded, sized or cropped
# otherwise.
NEAR = 0.8

# The mean counts as of so many images more, of zeros: two images are not each other's opposite.
_ZEROS = 16

# Floats of the projection, and how much less than `least` a projected cosine may be: five standard
# deviations of it, (1 - cosine ** 2) / sqrt(floats).
_PROJECTED = 256
_DEVIATIONS = 5.0

# Images of one block of the matrix of cosines: 2,048 x 2,048 in 16 MiB.
_BLOCK = 2048


@dataclass(frozen=True)
class Pairs:
    """Pairs of images by falling cosine, and how near the nearest other image is to each.

    images: int64 (M, 2), ascending in a pair. cosines: float32 (M,), around the mean.
    nearest: float32 (N,), the cosine of each image's nearest other one, about: by the projection.
    """

    images: np.ndarray
    cosines: np.ndarray
    nearest: np.ndarray

    def of_nearest(self) -> "Pairs":
        """Return the pairs in which one image is the other's nearest.

        They connect small groups even where all images of a class are alike to the backbone.
        """
        chosen = np.zeros(len(self.images), bool)
        for side in (0, 1):
            chosen |= self._first_of(side)
        return Pairs(self.images[chosen], self.cosines[chosen], self.nearest)

    def _first_of(self, side: int) -> np.ndarray:
        """Tell for each pair whether it is the nearest one of its image of a side: bool (M,)."""
        flat = self.images.ravel()  # in a pair's order, and pairs by falling cosine
        first = np.zeros(len(flat), bool)
        first[np.unique(flat, return_index=True)[1]] = True
        return np.asarray(first.reshape(-1, 2)[:, side])


def near_pairs(features: np.ndarray, least: float = NEAR, most: int = 100_000) -> Pairs:
    """Return all pairs of a cosine of `least` or more, the nearest `most` of them.

    features: float32 (N, D). Time grows with the square of N; memory with N times D + 256 floats.
    """
    unit = _unit(_around_mean(features))
    screened = _projected(unit)
    spread = 0.0 if screened is unit else (1 - least**2) / np.sqrt(_PROJECTED)
    screening = least - _DEVIATIONS * spread
    images, cosines = [np.empty((0, 2), np.int64)], [np.empty(0, np.float32)]
    nearest = np.full(len(unit), -1, np.float32)
    for start in range(0, len(unit), _BLOCK):
        left = screened[start : start + _BLOCK]
        for other in range(start, len(unit), _BLOCK):
            products = left @ screened[other : other + _BLOCK].T
            if other == start:
                np.fill_diagonal(products, -1)
            for axis, block in ((1, start), (0, other)):
                best = nearest[block : block + products.shape[1 - axis]]
                np.maximum(best, products.max(axis=axis), out=best)
            near = np.argwhere(products >= screening) + np.array([start, other])
            near = near[near[:, 0] < near[:, 1]]
            exact = _cosines(unit, near)
            images.append(near[exact >= least])
            cosines.append(exact[exact >= least])
        images, cosines = _nearest(images, cosines, most)
    return Pairs(images[0], cosines[0], nearest)


def groups_of(pairs: Pairs, count: int) -> np.ndarray:
    """Return groups of images, int64 (count,), equal for all that pairs connect."""
    parent = np.arange(count)

    def root(image: int) -> int:
        while parent[image] != image:
            parent[image] = parent[parent[image]]
            image = int(parent[image])
        return image

    for one, other in pairs.images.tolist():
        first, second = sorted((root(one), root(other)))
        parent[second] = first
    return np.array([root(image) for image in range(count)], np.int64)


def _around_mean(features: np.ndarray) -> np.ndarray:
    """Return features less what they have in common."""
    common = features.sum(axis=0, dtype=np.float64) / (len(features) + _ZEROS)
    return np.asarray(features - common.astype(np.float32))


def _unit(features: np.ndarray) -> np.ndarray:
    """Scale features to length 1, in place; those of zeros stay."""
    lengths = np.sqrt(np.einsum("ij,ij->i", features, features, dtype=np.float64))
    features /= np.where(lengths > 0, lengths, 1).astype(np.float32)[:, None]
    return features


def _projected(unit: np.ndarray) -> np.ndarray:
    """Return features of length 1 in few floats, about their cosines kept."""
    if unit.shape[1] <= 2 * _PROJECTED:
        return unit
    rng = np.random.default_rng(0)
    return _unit(unit @ rng.standard_normal((unit.shape[1], _PROJECTED), dtype=np.float32))


def _cosines(unit: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    cosines = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _BLOCK):
        one, other = pairs[start : start + _BLOCK].T
        cosines[start : start + _BLOCK] = np.einsum("ij,ij->i", unit[one], unit[other])
    return np.minimum(cosines, 1)


def _nearest(
    images: list[np.ndarray], cosines: list[np.ndarray], most: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    joined, values = np.concatenate(images), np.concatenate(cosines)
    order = np.lexsort((joined[:, 1], joined[:, 0], -values))[:most]
    return [joined[order]], [values[order]]
