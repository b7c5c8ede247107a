"""engine.sources.choice: which samples are chosen, and that only their bytes choose."""

from collections import Counter
from pathlib import Path

import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st

from engine.sources.base import Listing, Sample, Source, Unreadable
from engine.sources.choice import select


class Drawn(Source):
    """Samples with bytes of their own; what is read of them is noted."""

    def __init__(self, samples, data):
        super().__init__(Path(), Listing(samples))
        self._data, self.read_paths = data, []

    def read(self, sample):
        self.read_paths.append(sample.path)
        data = self._data(sample.path)
        if data is None:
            raise Unreadable("gone")
        return data

    def size(self, sample):
        data = self._data(sample.path)
        return None if data is None else len(data)

    def close(self):
        pass


def of(data=lambda path: path.encode(), **counts):
    samples = [
        Sample(f"{label}/{n}", label) for label, count in counts.items() for n in range(count)
    ]
    return Drawn(samples, data)


def chosen(source, fraction=None, limit=None, seed=0):
    samples = select(source, fraction=fraction, limit_per_class=limit, seed=seed)
    return [sample.path for sample in samples]


def test_everything_unless_told():
    source = of(a=3, b=2)
    assert select(source, fraction=None, limit_per_class=None, seed=1) == source.samples
    assert source.read_paths == []


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
    paths = chosen(of(a=100, b=10, c=1), fraction, limit, seed=3)
    assert Counter(path[0] for path in paths) == wanted


def test_the_seed_decides():
    first, same, other = (chosen(of(a=100, b=100), 0.1, seed=seed) for seed in (1, 1, 2))
    assert first == same
    assert first != other


def test_the_same_sample_on_every_platform():
    paths = chosen(of(lambda path: bytes(int(path[2:])), a=20, b=20), limit=3)
    assert paths == ["a/0", "a/4", "a/10", "b/7", "b/8", "b/15"]
    assert chosen(of(a=20, b=20), limit=3) == [
        *("a/11", "a/15", "a/18"),
        *("b/14", "b/15", "b/17"),
    ]


def test_names_and_order_have_no_say():
    data = {f"a/{n}": bytes([n]) * (n // 3) for n in range(60)}
    wanted = {data[path] for path in chosen(of(data.get, a=60), limit=20)}
    renamed = {f"{59 - n:06d}.jpg": data[f"a/{n}"] for n in range(60)}
    source = Drawn([Sample(path, "a") for path in sorted(renamed)], renamed.get)
    assert {renamed[path] for path in chosen(source, limit=20)} == wanted


def test_files_of_different_sizes_are_not_read():
    source = of(lambda path: bytes(int(path[2:])), a=50, b=50)
    assert len(chosen(source, limit=9)) == 18
    assert source.read_paths == []


def test_what_is_read_is_read_in_the_order_of_the_source():
    source = of(a=9, b=9)  # of one size
    assert len(chosen(source, limit=4)) == 8
    assert source.read_paths == [sample.path for sample in source.samples]


def test_an_image_that_is_there_twice_is_chosen_once_or_twice_but_none_is_lost():
    source = of(lambda path: b"same" if path != "a/3" else b"other", a=5)
    assert len(chosen(source, limit=3)) == 3


def test_what_cannot_be_read_is_chosen_like_others():
    source = of(lambda path: None if int(path[2:]) % 2 else path.encode(), a=10)
    assert len(chosen(source, limit=6)) == 6


def test_a_further_image_changes_at_most_one_of_the_choice():
    few = chosen(of(lambda path: bytes(int(path[2:])), a=100), limit=30)
    more = chosen(of(lambda path: bytes(int(path[2:])), a=101), limit=30)
    assert len(set(few) & set(more)) >= 29


labels = st.one_of(st.none(), st.sampled_from(["a", "b", "ü", "None"]), st.text(max_size=3))
sources = st.lists(st.tuples(labels, st.binary(max_size=2)), max_size=60).map(
    lambda drawn: Drawn(
        [Sample(str(n), label) for n, (label, _) in enumerate(drawn)],
        lambda path: drawn[int(path)][1],
    )
)


@FUZZ
@given(sources, st.floats(0.01, 1), st.one_of(st.none(), st.integers(1, 9)), st.integers(0, 2**40))
def test_a_choice_is_stratified_in_order_and_grows(source, fraction, limit, seed):
    samples = list(source.samples)
    some = list(select(source, fraction=fraction, limit_per_class=limit, seed=seed))
    assert some == [sample for sample in samples if sample in set(some)]
    assert {s.label for s in some} == {s.label for s in samples}
    for label, count in Counter(s.label for s in some).items():
        all_of_it = sum(s.label == label for s in samples)
        assert count == min(max(1, round(all_of_it * fraction)), limit or all_of_it)
    larger = select(source, fraction=1.0, limit_per_class=limit and limit + 1, seed=seed)
    assert set(some) <= set(larger)
