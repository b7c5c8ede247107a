"""Small caches with labelled features that a head can learn from."""

from pathlib import Path

import numpy as np
from cache_samples import vectors

from cache.rows import Row
from cache.store import FeatureCache, Space

DESCRIPTION = {
    "backbone": "vgg16",
    "layer": "fc2",
    "precision": "fp32",
    "preprocessing": "caffe",
    "interpolation": "bilinear",
}


def labelled_cache(
    path: Path,
    counts: dict[str, int],
    *,
    dimension: int = 16,
    noise: float = 0.7,
    description: dict | None = None,
    name: str = "/somewhere/photos",
    order: int | None = None,
) -> Space:
    """Make a cache of images of the classes `counts`, each class around a point of its own.

    order: seed of another order of the rows and parts; the images are the same.
    """
    labels = [label for label, count in counts.items() for _ in range(count)]
    digests, features = vectors(len(labels), dimension)
    centres = np.random.default_rng(7).uniform(0, 2, (len(counts), dimension))
    places = dict(zip(counts, centres, strict=True))
    features = features * np.float32(noise)
    features += np.array([places[label] for label in labels], np.float32)
    rows = [
        Row(f"{label}/{number}.jpg", label, digest.tobytes(), "cached")
        for number, (label, digest) in enumerate(zip(labels, digests, strict=True))
    ]
    if order is not None:
        chosen = np.random.default_rng(order).permutation(len(rows))
        digests, features, rows = digests[chosen], features[chosen], [rows[n] for n in chosen]
    space = FeatureCache.create(path).add_space(description or DESCRIPTION, dimension)
    writer = space.write_dataset(name)
    size = max(50, len(rows) // 4)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        space.append(digests[part], features[part])
        writer.append(rows[part])
    writer.finish()
    return space
