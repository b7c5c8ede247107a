"""The same images in every kind of source: the same digests, labels and choice."""

from hashlib import sha256

import numpy as np
import pytest
from kind_samples import CATS, KINDS, photographs

from engine.sources.choice import select
from engine.sources.open import open_source


def reading(location):
    """Return digest -> label of all images, and the digests of a choice."""
    with open_source(location) as source:
        digests = {sample: sha256(source.read(sample)).digest() for sample in source.samples}
        chosen = select(source, fraction=None, limit_per_class=30, seed=0)
        labels = {digest: sample.label for sample, digest in digests.items()}
        return labels, {digests[sample] for sample in chosen}


@pytest.fixture(scope="module")
def drawn():
    """Members of an archive: 40 distinct images of each of two classes, by path."""
    rng = np.random.default_rng(0)
    names = [f"pets/{label}/{n}.jpg" for label in (CATS, "Dog") for n in range(40)]
    return [(name, rng.bytes(400 + n // 5)) for n, name in enumerate(sorted(names))]


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_images_are_the_same_in_every_kind(tmp_path, drawn, kind):
    labels, chosen = reading(KINDS[kind](tmp_path, drawn))
    expected = reading(KINDS["folder"](tmp_path / "other", drawn))
    assert labels == expected[0] == {sha256(d).digest(): n.split("/")[1] for n, d in drawn}
    assert chosen == expected[1]
    assert len(chosen) == 60


@pytest.mark.slow
def test_photographs_are_the_same_in_every_kind(tmp_path, shared_data):
    members = photographs(shared_data)
    expected = reading(KINDS["folder"](tmp_path / "first", members))
    assert set(expected[0].values()) == {CATS, "Dog"}
    for kind, write in KINDS.items():
        (tmp_path / kind).mkdir()
        assert reading(write(tmp_path / kind, members)) == expected, kind
