"""engine.sources.parquet: images in tables, in any order, damaged ones too."""

import random
import sys
import tempfile
from pathlib import Path

import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st
from source_samples import failure, parquet, picture, reasons

from cache.failures import Failure, UsageFailure
from engine.sources.base import SourceOptions
from engine.sources.open import open_source

IMAGES = [random.Random(n).randbytes(500 + n) for n in range(40)]


def images_table(path, images=IMAGES, group=7):
    columns = {
        "image": [{"bytes": data, "path": f"{n}.jpg"} for n, data in enumerate(images)],
        "label": [n % 2 for n in range(len(images))],
    }
    return parquet(path, columns, {"label": ["cat", "dog"]}, group=group)


def test_images_are_read_in_order_and_in_any_other(tmp_path):
    with open_source(images_table(tmp_path / "t.parquet")) as source:
        assert source.sequential
        assert [s.label for s in source.samples] == ["cat", "dog"] * 20
        by_number = {int(s.path.removesuffix(".jpg")): s for s in source.samples}
        orders = [
            range(40),
            range(39, -1, -1),
            range(0, 40, 9),
            random.Random(1).sample(range(40), 40),
        ]
        for order in orders:
            for number in order:
                assert source.read(by_number[number]) == IMAGES[number]


def test_a_column_of_bytes_alone(tmp_path):
    path = parquet(tmp_path / "t.parquet", {"jpg": [picture(1), picture(40)], "label": ["a", "b"]})
    with open_source(path) as source:
        assert reasons(source) == {"00000000": picture(1), "00000001": picture(40)}
        assert [s.label for s in source.samples] == ["a", "b"]


def test_paths_that_are_not_alone_go_by_their_rows(tmp_path):
    rows = [{"bytes": picture(n), "path": "1.jpg"} for n in (1, 90)]
    with open_source(parquet(tmp_path / "t.parquet", {"image": rows, "label": [3, 4]})) as source:
        assert reasons(source) == {"00000000/1.jpg": picture(1), "00000001/1.jpg": picture(90)}
        assert [s.label for s in source.samples] == ["3", "4"]


def test_rows_without_bytes_have_a_reason(tmp_path):
    rows = [{"bytes": picture(1), "path": "1.jpg"}, {"bytes": None, "path": "2.jpg"}]
    with open_source(
        parquet(tmp_path / "t.parquet", {"image": rows, "label": ["a", "b"]})
    ) as source:
        assert "no bytes" in reasons(source)["2.jpg"]


def test_several_columns_of_bytes_have_to_be_chosen_from(tmp_path):
    columns = {"a": [picture(1)], "b": [picture(90)], "label": ["x"]}
    path = parquet(tmp_path / "t.parquet", columns)
    assert "a, b" in failure(path)
    with open_source(path, SourceOptions(path_column="b")) as source:
        assert list(reasons(source).values()) == [picture(90)]


def test_one_value_in_many_rows_is_in_memory_once(tmp_path):
    """A dictionary's: a file of 1 MB, which is 400 MB as rows."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    data = random.Random(0).randbytes(1_000_000)
    images = pa.array([data]).dictionary_encode().take(pa.array([0] * 400))
    path = tmp_path / "t.parquet"
    write_table(
        pa.table({"jpg": images, "label": ["a"] * 400}),
        path,
        store_schema=False,
        dictionary_pagesize_limit=2**30,
    )
    assert path.stat().st_size < 1_100_000
    with open_source(path) as source:
        before = pa.total_allocated_bytes()
        for sample in source.samples[:50]:
            assert source.read(sample) == data
        assert pa.total_allocated_bytes() - before < 10 * len(data)


def test_texts_are_bounded(tmp_path):
    path = parquet(tmp_path / "t.parquet", {"jpg": [picture(1)], "label": ["x" * 200_000]})
    assert "over 131,072 characters" in failure(path)


def test_a_column_that_is_not_there(tmp_path):
    path = images_table(tmp_path / "t.parquet")
    with pytest.raises(UsageFailure, match="no column kind"):
        open_source(path, SourceOptions(label_column="kind"))


def test_without_pyarrow_it_says_what_to_install(tmp_path, monkeypatch):
    path = images_table(tmp_path / "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'onceover[parquet]'" in failure(path)


with tempfile.TemporaryDirectory() as made:
    SEED = images_table(Path(made) / "t.parquet", IMAGES[:6], 3).read_bytes()


@FUZZ
@given(
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=4),
    st.floats(0.5, 1),
)
def test_any_parquet_opens_or_fails_cleanly(tmp_path, changes, kept):
    data = bytearray(SEED)
    for place, piece in changes:
        at = int(place * len(data))
        data[at : at + len(piece)] = piece
    path = tmp_path / "any.parquet"
    path.write_bytes(b"PAR1" + data[4 : int(len(data) * kept)])
    try:
        source = open_source(path)
    except Failure as failed:
        lines = [str(failed)]
    else:
        with source:
            lines = [reason for reason in reasons(source).values() if isinstance(reason, str)]
    assert not any("\n" in line for line in lines)
