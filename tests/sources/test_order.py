"""engine.sources.order: in which order samples are extracted."""

from collections import Counter

from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st

from engine.sources.base import Sample
from engine.sources.order import interleave

labels = st.one_of(st.none(), st.sampled_from(["a", "b", "ü", "None"]), st.text(max_size=3))
sources = st.lists(labels, max_size=60).map(
    lambda drawn: [Sample(f"{n}.jpg", label) for n, label in enumerate(drawn)]
)
seeds = st.integers(0, 2**40)


def of(**counts):
    return [Sample(f"{label}/{n}", label) for label, count in counts.items() for n in range(count)]


def test_the_seed_decides():
    samples = of(a=100, b=100)
    assert interleave(samples, 1) == interleave(samples, 1)
    assert interleave(samples, 1) != interleave(samples, 2)


def test_the_same_order_on_every_platform():
    order = interleave(of(a=20, b=10), 0)
    assert [s.path for s in order[:6]] == ["a/9", "b/4", "a/17", "a/1", "b/0", "a/10"]


def test_the_order_of_the_source_does_not_matter():
    samples = of(a=30, b=30)
    assert interleave(samples[::-1], 1) == interleave(samples, 1)


def test_one_path_twice_counts_twice():
    twice = [Sample("x", "a"), Sample("x", "a"), Sample("y", "a")]
    assert sorted(s.path for s in interleave(twice, 0)) == ["x", "x", "y"]


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
