"""Single flipped bits, in every kind of file: found by verify, never served."""

import contextlib
import os
import random

import numpy as np
from cache_samples import filled, rows_of, vectors

from cache.failures import Failure
from cache.store import FeatureCache
from cache.verify import verify

# ONCEOVER_FLIPS=1000 for a thorough search.
FLIPS = int(os.environ.get("ONCEOVER_FLIPS", "60"))


def test_every_flipped_bit_is_found_and_none_served(tmp_path):
    space = filled(tmp_path / "c", parts=2, rows=6)
    space.write_note("parity", {"cosine": 1e-05, "text": "caf\xe9"})
    space.write_dataset("photos").append(rows_of(vectors(3, seed=4)[0]))
    written = everything(tmp_path / "c")
    files = [path for path in (tmp_path / "c").rglob("*") if path.is_file()]
    kinds = [[path for path in files if path.suffix == suffix] for suffix in (".h5", ".json")]
    for _ in range(FLIPS):
        path = random.choice(random.choice(kinds))
        sound = path.read_bytes()
        data = bytearray(sound)
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        path.write_bytes(data)
        for name, found in everything(tmp_path / "c").items():
            assert found == written[name], f"{name} is served falsely"
        aside = space.path / "damaged" / path.name
        if aside.exists():  # what reading found, verify shall find
            aside.rename(path)
        assert list(verify(FeatureCache(tmp_path / "c")).damaged) == [str(path)]
        assert aside.exists() == (path.parent.name in ("parts", "notes"))
        aside.unlink(missing_ok=True)
        path.write_bytes(sound)
    assert verify(FeatureCache(tmp_path / "c")).damaged == {}


def everything(path):
    """Read all that a cache gives out without complaint: name -> value."""
    found = {}
    with contextlib.suppress(Failure):
        (space,) = FeatureCache.open(path).spaces()
        found["space"] = (space.id, space.description, space.dimension)
        with contextlib.suppress(Failure):
            found["notes"] = space.notes()
        with contextlib.suppress(Failure):
            found["table"] = space.rows()
        digests, features = vectors(12)
        index = space.index()
        there = index.contains(digests)
        with contextlib.suppress(Failure):
            assert np.array_equal(index.read(digests[there]), features[there])
        with contextlib.suppress(Failure):
            for keys, values in space.index().blocks():
                order = [digests.tolist().index(key.tolist()) for key in keys]
                assert np.array_equal(values, features[order])
    return found
