"""engine.sources.table."""

import pytest
from fuzzing import FUZZ
from hypothesis import given
from hypothesis import strategies as st
from source_samples import failure, picture, unreadable

from cache.failures import Failure, UsageFailure
from engine.sources import dialect
from engine.sources.base import SourceOptions
from engine.sources.open import open_source


def table(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_csv(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/ä,1.jpg").write_bytes(picture(1))
    (tmp_path / "2.jpg").write_bytes(picture(2))
    text = (
        '\ufefflabel,note,path\r\ncat,,"in/ä,1.jpg"\r\n\r\n'
        f'"d\nog",x,{tmp_path / "2.jpg"}\r\n,,missing.jpg\r\n'
    )
    source = open_source(table(tmp_path, text))
    assert [(s.path, s.label) for s in source.samples] == [
        ("in/ä,1.jpg", "cat"),
        (str(tmp_path / "2.jpg"), "d\nog"),
        ("missing.jpg", None),
    ]
    assert source.read(source.samples[0]) == picture(1)
    assert source.read(source.samples[1]) == picture(2)
    assert unreadable(source, "missing.jpg")
    assert source.ignored == 0


def test_one_csv_row_twice_is_two_samples(tmp_path):
    assert len(open_source(table(tmp_path, "path,label\na,b\na,b\n")).samples) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "first line path,label; it has none"),
        ("a,cat\n", "it has a,cat"),
        ("name;label\na;cat\n", "it has name,label"),
        ("Foto;Bild\na.jpg;b.jpg\n", "has Foto,Bild; say which column has the paths"),
        ("path,label,label\n", "first line"),
        ("path,label\n", "holds no images"),
        ("path,label\na.jpg,cat\nb.jpg\n", "line 3"),
        ("path,label\na,b.jpg,cat\n", "line 2: not 2 values"),
        ('path,label\n"a\nb",cat\n,cat\n', "line 4: no path"),
        ("path,label\na,cat\nb,dog\na,dog\n", "line 4: a is dog here and cat on line 2"),
        ('path,label\n"a,cat\n', "CSV"),
        ('path,label\n"a"b,cat\n', "after line 1"),
        ("path,label\n" + "x" * 200_000 + ",cat\n", "after line 1"),
    ],
)
def test_csv_failures_name_the_line(tmp_path, text, words):
    assert words in failure(table(tmp_path, text))


def test_csv_in_another_encoding(tmp_path):
    assert "UTF-8" in failure(table(tmp_path, "path,label\nä.jpg,cat\n", "latin-1"))


def test_a_csv_path_of_a_folder(tmp_path):
    source = open_source(table(tmp_path, "path,label\n.,cat\n"))
    assert unreadable(source, ".")


@FUZZ
@given(
    st.one_of(
        st.binary(max_size=200), st.binary(max_size=60).map(lambda tail: b"path,label\n" + tail)
    )
)
def test_any_bytes_as_csv_open_or_fail_cleanly(tmp_path, data):
    path = tmp_path / "any.csv"
    path.write_bytes(data)
    try:
        source = open_source(path)
    except Failure as failed:
        message = str(failed)
    else:
        message = ""
        assert source.samples
        for sample in source.samples:
            assert sample.path
    assert "\n" not in message


@pytest.mark.parametrize(
    ("limit", "words"), [("MAX_TABLE_BYTES", "larger than"), ("MAX_ROWS", "has over")]
)
def test_a_table_that_is_too_large_is_refused(tmp_path, monkeypatch, limit, words):
    monkeypatch.setattr(dialect, limit, 3)
    assert words in failure(table(tmp_path, "path,label\na,b\nc,d\ne,f\n"))


def test_a_whole_number_with_a_comma_may_be_thousands(tmp_path):
    (tmp_path / "table.csv").write_text("path;label\n1.jpg;1,000\n2.jpg;2,000\n")
    with open_source(tmp_path / "table.csv") as source:
        assert [sample.label for sample in source.samples] == ["1,000", "2,000"]


@pytest.mark.parametrize("name", ["image_name", "img_path", "fname", "Image Name"])
@pytest.mark.parametrize("label", ["class_name", "Label Name"])
def test_further_names_of_columns(tmp_path, name, label):
    (tmp_path / "table.csv").write_text(f"{name},{label},x\n1.jpg,cat,0\n2.jpg,dog,1\n")
    with open_source(tmp_path / "table.csv") as source:
        assert [(s.path, s.label) for s in source.samples] == [("1.jpg", "cat"), ("2.jpg", "dog")]


def test_a_column_that_is_asked_for_and_not_there_is_said_of_any_table(tmp_path):
    (tmp_path / "table.csv").write_text("p,q,r\n1.jpg,cat,train\n")
    with pytest.raises(UsageFailure, match="has no column zz; it has p,q,r"):
        open_source(tmp_path / "table.csv", SourceOptions(path_column="zz"))
