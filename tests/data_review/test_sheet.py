"""review.csv and the labels that its marks give."""

import csv
import os
from pathlib import Path

import pytest
from data_review_samples import COUNT, planted

from cache.failures import Failure
from engine.data_review.findings import review
from engine.data_review.sheet import Corrections, apply_sheet, sheet
from engine.heads.open_features import open_features


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "review.csv"
    path.write_bytes(sheet(review(open_features(planted(tmp_path / "c", {20, 40}, copies=2)))))
    return path


def marked(path, marks):
    rows = rows_of(path)
    for row in rows:
        row["new_label"] = marks.get(row["path"], "")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def test_every_image_has_a_row_the_most_suspected_first(written):
    rows = rows_of(written)
    assert len(rows) == 300
    assert {row["path"] for row in rows[:2]} == {"20.jpg", "40.jpg"}
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    near = {row["path"]: row["near_duplicate"] for row in rows if row["near_duplicate"]}
    assert near == {
        "101.jpg": "299.jpg",
        "299.jpg": "101.jpg",
        "100.jpg": "298.jpg",
        "298.jpg": "100.jpg",
    }


def test_marks_correct_and_drop(written, tmp_path):
    before = written.read_bytes()
    marked(written, {"20.jpg": "cat", "299.jpg": "drop", "7.jpg": "bird"})
    image = written.read_bytes()
    corrections = apply_sheet(written, tmp_path / "labels.csv")
    assert corrections == Corrections(kept=297, changed=2, dropped=1)
    labels = {row["path"]: row["label"] for row in rows_of(tmp_path / "labels.csv")}
    assert labels["20.jpg"] == "cat"
    assert labels["7.jpg"] == "bird"
    assert "299.jpg" not in labels
    assert written.read_bytes() == image != before


def test_what_is_there_is_not_replaced(written, tmp_path):
    (tmp_path / "labels.csv").write_text("mine")
    with pytest.raises(Failure, match="is there already"):
        apply_sheet(written, tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a,b\n1,2\n", "lacks the columns dataset, label, new_label, path"), (b"\xff\xfe", "no CSV")],
)
def test_another_file_is_one_line(tmp_path, content, message):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(Failure, match=message):
        apply_sheet(tmp_path / "x.csv", tmp_path / "labels.csv")
    with pytest.raises(Failure, match="there is no"):
        apply_sheet(tmp_path / "none.csv", tmp_path / "labels.csv")


def test_drop_is_drop_however_it_is_typed_and_new_classes_are_told(written, tmp_path, caplog):
    marked(written, {"20.jpg": " Drop ", "40.jpg": "dgo", "41.jpg": "dog"})
    corrections = apply_sheet(written, tmp_path / "labels.csv")
    assert (corrections.dropped, corrections.changed + corrections.kept) == (1, 299)
    labels = {row["path"].split("/")[-1]: row["label"] for row in rows_of(tmp_path / "labels.csv")}
    assert "20.jpg" not in labels
    assert labels["40.jpg"] == "dgo"
    assert [record.getMessage() for record in caplog.records if "class" in record.message] == [
        "dgo is a class that no image had; dog is one, if that was meant"
    ]


def test_a_class_called_drop_in_capitals_is_a_class(tmp_path):
    path = tmp_path / "review.csv"
    space = planted(tmp_path / "c", {20}, labels=("Drop", "dog"))
    path.write_bytes(sheet(review(open_features(space))))
    marked(path, {"21.jpg": "Drop"})
    apply_sheet(path, tmp_path / "labels.csv")
    assert {row["path"]: row["label"] for row in rows_of(tmp_path / "labels.csv")}[
        "21.jpg"
    ] == "Drop"


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_sheet_that_a_spreadsheet_saved_is_read(written, tmp_path, delimiter):
    rows = rows_of(written)
    rows[0]["new_label"] = "drop"
    with written.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    assert apply_sheet(written, tmp_path / "labels.csv").dropped == 1


def test_the_sources_own_split_goes_on(tmp_path):
    """Corrected labels are of the same split: what was a test image stays one."""
    splits = ["train" if number % 3 else "test" for number in range(COUNT)]
    path = tmp_path / "review.csv"
    path.write_bytes(sheet(review(open_features(planted(tmp_path / "c", splits=splits)))))
    apply_sheet(path, tmp_path / "labels.csv")
    rows = rows_of(tmp_path / "labels.csv")
    assert {row["path"].split("/")[-1]: row["split"] for row in rows} == {
        f"{number}.jpg": split for number, split in enumerate(splits)
    }


@pytest.mark.parametrize(
    ("names", "packed", "base"),
    [
        (["pets.zip"], False, "pets.zip"),
        (["pets.tar"], False, "pets.tar"),
        (["pets.tar.gz"], True, None),
        (["pets"], True, None),
        (["pets.zip", "more.zip"], False, None),
        (["gone.zip"], False, None),
    ],
)
def test_paths_inside_an_archive_count_from_it(tmp_path, caplog, monkeypatch, names, packed, base):
    monkeypatch.chdir(tmp_path)
    with Path("review.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "new_label", "dataset"))
        for name in names:
            writer.writerow(("cats/1.jpg", "cat", "", name))
            if name != "gone.zip":
                Path(name).write_bytes(b"\x1f\x8b" if packed else b"PK")
    corrections = apply_sheet(Path("review.csv"), Path("labels.csv"))
    assert corrections.base == base
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == (0 if base else len(names))
    assert all("unpack it" in warning for warning in warnings)
    assert rows_of(Path("labels.csv"))[0]["path"] == "cats/1.jpg"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_sheet_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "review.csv")
    with pytest.raises(Failure, match=r"review\.csv cannot be read: not a regular file"):
        apply_sheet(tmp_path / "review.csv", tmp_path / "labels.csv")
