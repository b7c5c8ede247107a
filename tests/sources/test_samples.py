"""engine.sources.samples: samples in columns are what samples in a list are."""

import tracemalloc

import numpy as np
import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st

from engine.sources.base import Sample
from engine.sources.samples import Samples

names = st.one_of(st.none(), st.sampled_from(["a", "b", "train"]), st.text(max_size=3))
paths = st.text(st.characters(), max_size=8)  # with surrogates, as of names that are no UTF-8
rows = st.lists(st.builds(Sample, paths, names, names), max_size=40)


@FUZZ
@given(rows, st.slices(40))
def test_they_read_like_a_list(rows, part):
    samples = Samples(rows)
    assert len(samples) == len(rows)
    assert list(samples) == rows
    assert samples == rows
    assert samples != [*rows, Sample("x", None)]
    assert samples[part] == rows[part]
    assert [samples[at] for at in range(len(rows))] == rows
    assert Samples.of(samples) is samples
    with pytest.raises(IndexError):
        samples[len(rows)]


@FUZZ
@given(rows)
def test_taken_in_an_order_and_taken_again(rows):
    order = np.arange(len(rows))[::-1]
    assert list(Samples(rows).taken(order)) == rows[::-1]
    assert list(Samples(rows).taken(order).taken(order[::2])) == rows[::2]


@FUZZ
@given(rows, st.booleans())
def test_counts_and_order_of_those_that_are_taken(rows, backwards):
    samples = Samples(rows)
    if backwards:
        rows, samples = rows[::-1][::2], samples.taken(np.arange(len(rows))[::-1][::2])
    assert sum(samples.label_counts().values()) == len(rows)
    assert all(n == sum(r.label == k for r in rows) for k, n in samples.label_counts().items())
    assert all(n == sum(r.split == k for r in rows) for k, n in samples.split_counts().items())
    labels, codes = samples.classes()
    assert [labels[code] for code in codes] == [row.label for row in rows]
    ordered = [rows[at] for at in samples.path_order()]
    assert ordered == sorted(rows, key=lambda row: row.path)


def test_other_labels():
    samples = Samples([Sample("1", "cat ", "train"), Sample("2", None), Sample("3", " ")])
    other = samples.renamed({"cat ": "cat", " ": None})
    assert list(other) == [Sample("1", "cat", "train"), Sample("2", None), Sample("3", None)]
    assert samples[0].label == "cat "


def test_a_sample_takes_few_bytes():
    count = 50_000
    tracemalloc.start()
    samples = Samples(Sample(f"class_{n % 10}/image_{n:06d}.jpg", "a") for n in range(count))
    order = samples.taken(np.arange(count)[::-1])
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert order[0].path == "class_9/image_049999.jpg"
    assert size < 60 * count
