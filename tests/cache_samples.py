"""Small caches for the tests of the feature store."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from cache.rows import Row
from cache.store import FeatureCache, Space

DESCRIPTION = {"backbone": "synthetic", "layer": "last", "precision": "fp32"}


def vectors(count: int, dimension: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return seeded digests uint8 (count, 32) and post-ReLU features float32 (count, dimension).

    Fewer are the first of more.
    """
    digests = np.random.default_rng([seed, 0]).integers(0, 256, (count, 32), dtype=np.uint8)
    features = np.random.default_rng([seed, 1]).standard_normal((count, dimension))
    return digests, np.maximum(features, 0).astype(np.float32)


def rows_of(digests: np.ndarray) -> list[Row]:
    """Return a cached row for each digest, of two classes."""
    return [
        Row(
            f"{'ab'[n % 2]}/{digest[:6].tobytes().hex()}.jpg",
            "ab"[n % 2],
            digest.tobytes(),
            "cached",
        )
        for n, digest in enumerate(digests)
    ]


def filled(
    path: Path,
    parts: int = 4,
    rows: int = 10,
    dimension: int = 8,
    description: dict[str, str] | None = None,
) -> Space:
    """Make a cache of `parts` parts with a finished dataset `photos` over all rows."""
    space = FeatureCache.create(path).add_space(description or DESCRIPTION, dimension)
    digests, features = vectors(parts * rows, dimension)
    writer = space.write_dataset("photos")
    for start in range(0, parts * rows, rows):
        chosen = slice(start, start + rows)
        space.append(digests[chosen], features[chosen])
        writer.append(rows_of(digests[chosen]))
    writer.finish()
    return space


def resealed(record: bytes, **fields: Any) -> bytes:
    """Return a record with other fields, and the checksum that goes with them."""
    blank = "0" * 64
    changed = {**json.loads(record), **fields, "sha256": blank}
    text = json.dumps(changed).encode().ljust(len(record) if record[-2:] == b" \n" else 0)
    return text.replace(blank.encode(), hashlib.sha256(text).hexdigest().encode(), 1)
