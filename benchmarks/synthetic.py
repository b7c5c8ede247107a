"""Caches of synthetic features, of any size.

python -m benchmarks.synthetic CACHE ROWS DIMENSION
"""

import shutil
import sys
from pathlib import Path

import numpy as np

from cache.rows import Row
from cache.store import FeatureCache

# How far the classes' means lie apart along a few of the directions, in deviations of the noise.
_DISTANCE = 0.6
_INFORMATIVE = 32

# Bytes of features in a part.
_PART = 2**25


def make_cache(path: Path, rows: int, dimension: int) -> None:
    """Make a cache of synthetic features, half of their values zero as behind a ReLU.

    Two classes, whose means differ in some of the directions.
    """
    unfinished = path.with_name(f"{path.name}-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    description = {"backbone": "synthetic", "layer": "last", "precision": "fp32"}
    space = FeatureCache.create(unfinished).add_space(description, dimension)
    rng = np.random.default_rng(0)
    size = max(1, _PART // (4 * dimension))
    writer = space.write_dataset("synthetic")
    for start in range(0, rows, size):
        count = min(size, rows - start)
        features = rng.standard_normal((count, dimension), np.float32)
        labels = np.arange(start, start + count) % 2
        features[:, :_INFORMATIVE] += np.float32(_DISTANCE) * labels[:, None]
        np.maximum(features, 0, out=features)
        digests = rng.integers(0, 256, (count, 32), np.uint8)
        space.append(digests, features)
        writer.append(
            Row(f"{start + n}.jpg", "ab"[label], digest.tobytes(), "cached")
            for n, (label, digest) in enumerate(zip(labels, digests, strict=True))
        )
    writer.finish()
    unfinished.rename(path)


if __name__ == "__main__":
    make_cache(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
