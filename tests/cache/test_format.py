import re
import zipfile
from pathlib import Path

import numpy as np
from cache_samples import filled, rows_of, vectors

from cache.store import FeatureCache
from cache.verify import verify

DOCUMENT = Path(__file__).parents[2] / "docs" / "format.md"


def test_the_documents_own_example_reads_a_cache(tmp_path, monkeypatch):
    space = filled(tmp_path / "features")
    digests, features = vectors(40)
    expected = {digest.tobytes(): vector for digest, vector in zip(digests, features, strict=True)}
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(example, names)
    rows = names["rows"]
    assert len(rows) == 40
    for row in space.rows():
        assert np.array_equal(rows[row.path], expected[row.digest])


def test_a_cache_of_version_1_is_read_and_goes_on(tmp_path):
    """The cache was written by the last release of version 1: see `filled` for what is in it."""
    zipfile.ZipFile(Path(__file__).with_name("version_1.zip")).extractall(tmp_path)
    cache = FeatureCache.open(tmp_path / "cache")
    assert not verify(cache).damaged
    (space,) = cache.spaces()
    digests, features = vectors(6, 4)
    assert np.array_equal(space.index().read(digests), features)
    assert space.rows() == [*rows_of(digests[:3]), *rows_of(digests[3:])]
    assert all(row.split is None and row.stat is None for row in space.rows())
    assert space.notes() == {"parity": {"cosine": 1}}
    writer = FeatureCache.create(tmp_path / "cache").space().write_dataset("photos")
    writer.append(rows_of(digests[:2]))
    writer.finish()
    assert space.rows() == rows_of(digests[:2])
    assert not verify(cache).damaged
