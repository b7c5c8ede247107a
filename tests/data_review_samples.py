"""Caches with planted faults for a review to find."""

import numpy as np
from cache_samples import DESCRIPTION, vectors

from cache.rows import Row
from cache.store import FeatureCache

COUNT = 300


def planted(path, wrong=(), copies=0, labels=("cat", "dog"), splits=None):
    """Make a cache of two kinds; labels of `wrong` are flipped, the last `copies` nearly repeat."""
    rng = np.random.default_rng(0)
    digests, _ = vectors(COUNT, 64)
    kinds = np.arange(COUNT) % 2
    features = rng.standard_normal((COUNT, 64)).astype(np.float32)
    features[:, :8] += 2 * (2 * kinds[:, None] - 1)
    for number in range(copies):
        features[COUNT - 1 - number] = features[101 - number] * 2
        features[COUNT - 1 - number, 20] += 0.5
    names = [labels[kind if n not in wrong else 1 - kind] for n, kind in enumerate(kinds)]
    space = FeatureCache.create(path).add_space(DESCRIPTION, 64)
    space.append(digests, features)
    writer = space.write_dataset("/somewhere/photos")
    writer.append(
        [
            Row(
                f"{n}.jpg",
                names[n],
                digests[n].tobytes(),
                "cached",
                split=None if splits is None else splits[n],
            )
            for n in range(COUNT)
        ]
    )
    writer.append([Row("broken.jpg", "cat", b"", "rejected", "the file is empty")])
    writer.finish()
    return space
