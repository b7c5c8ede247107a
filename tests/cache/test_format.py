import re
from pathlib import Path

import numpy as np
from cache_samples import filled, vectors

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
