"""engine.sources.order: which samples, in which order."""

from collections import Counter

import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st

from engine.sources.base import Sample
from engine.sources.order import interleave, select

labels = st.one_of(st.none(), st.sampled_from(["a", "b", "ü", "None"]), st.text(max_size=3))
sources = st.lists(labels, max_size=60).map(
    lambda drawn: [Sample(f"{n}.jpg", label) for n, label in enumerate(drawn)]
)
seeds = st.integers(0, 2**40)


def of(**counts):
    return [Sample(f"{label}/{n}", label) for label, count in counts.items() for n in range(count)]


def test_everything_unless_told():
    samples = of(a=3, b=2)
    assert select(samples, fraction=None, limit_per_class=None, seed=1) == samples


@pytest.mark.parametrize(
    ("fraction", "limit", "wanted"),
    [
        (0.5, None, {"a": 50, "b": 5, "c": 1}),
        (0.001, None, {"a": 1, "b": 1, "c": 1}),
        (1.0, None, {"a": 100, "b": 10, "c": 1}),
        (None, 7, {"a": 7, "b": 7, "c": 1}),
        (0.5, 7, {"a": 7, "b": 5, "c": 1}),
    ],
)
def test_counts_of_each_class(fraction, limit, wanted):
    chosen = select(of(a=100, b=10, c=1), fraction=fraction, limit_per_class=limit, seed=3)
    assert Counter(sample.label for sample in chosen) == wanted


def test_the_seed_decides():
    samples = of(a=100, b=100)
    first, same, other = (
        select(samples, fraction=0.1, limit_per_class=None, seed=seed) for seed in (1, 1, 2)
    )
    assert first == same
    assert first != other
    assert interleave(samples, 1) == interleave(samples, 1)
    assert interleave(samples, 1) != interleave(samples, 2)


def test_the_same_sample_on_every_platform():
    chosen = select(of(a=20, b=20), fraction=None, limit_per_class=3, seed=0)
    assert [s.path for s in chosen] == ["a/1", "a/9", "a/17", "b/5", "b/17", "b/19"]


def test_the_order_of_the_source_does_not_choose():
    samples = of(a=30, b=30)
    backwards = samples[::-1]
    chosen = select(samples, fraction=None, limit_per_class=4, seed=1)
    assert set(select(backwards, fraction=None, limit_per_class=4, seed=1)) == set(chosen)
    assert interleave(backwards, 1) == interleave(samples, 1)


def test_one_path_twice_counts_twice():
    twice = [Sample("x", "a"), Sample("x", "a"), Sample("y", "a")]
    assert len(select(twice, fraction=None, limit_per_class=1, seed=0)) == 1
    assert sorted(s.path for s in interleave(twice, 0)) == ["x", "x", "y"]


@FUZZ
@given(sources, st.floats(0.01, 1), st.one_of(st.none(), st.integers(1, 9)), seeds)
def test_a_selection_is_stratified_in_order_and_grows(samples, fraction, limit, seed):
    chosen = select(samples, fraction=fraction, limit_per_class=limit, seed=seed)
    assert chosen == [sample for sample in samples if sample in set(chosen)]
    assert {s.label for s in chosen} == {s.label for s in samples}
    for label, count in Counter(s.label for s in chosen).items():
        whole = sum(s.label == label for s in samples)
        assert count == min(max(1, round(whole * fraction)), limit or whole)
    larger = select(samples, fraction=1.0, limit_per_class=limit and limit + 1, seed=seed)
    assert set(chosen) <= set(larger)


@FUZZ
@given(sources, seeds)
def test_each_prefix_is_balanced(samples, seed):
    order = interleave(samples, seed)
    assert sorted(s.path for s in order) == sorted(s.path for s in samples)
    whole = Counter(s.label for s in samples)
    classes = len(whole)
    seen = Counter()
    for position, sample in enumerate(order, 1):
        seen[sample.label] += 1
        for label, count in whole.items():
            assert abs(seen[label] - position * count / len(order)) <= max(1, classes / 2)
