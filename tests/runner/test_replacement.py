"""What is said of rows that an extraction replaces by fewer."""

import logging

import pytest
from conftest import write_pictures

from engine.extract import main as extract


@pytest.fixture
def names(tmp_path):
    """Pictures whose names alone say what they are."""
    folder = tmp_path / "names"
    folder.mkdir()
    for path in write_pictures(tmp_path / "pictures", 4).rglob("*.jpg"):
        path.rename(folder / f"{path.parent.name}-{path.name}")
    return folder


@pytest.fixture
def said(names, tmp_path, tiny_backbone, caplog):
    """Extract with options; return what was said of rows that are replaced."""

    def run(*more):
        caplog.clear()
        options = ["--backbone", str(tiny_backbone), "--preprocessing", "tf"]
        with caplog.at_level(logging.INFO):
            code = extract([str(names), "--cache", str(tmp_path / "c"), *options, *more])
        assert code == 0
        return [
            (r.levelname, r.getMessage()) for r in caplog.records if "replaces" in r.getMessage()
        ]

    return run


LABELS = ["--labels", "(spots|stripes)"]


def said_of(rows, loss):
    return f"replaces 8 rows (spots 4, stripes 4) of this source by {rows}: {loss}"


def test_labels_that_are_not_given_again_are_a_warning(said):
    assert said(*LABELS) == said(*LABELS) == []
    ((level, message),) = said()
    assert level == "WARNING"
    assert message.startswith(said_of("8 rows (8 without a label)", "8 images will have no label"))
    assert [level for level, _ in said(*LABELS)] == ["INFO"]


def test_images_that_a_choice_leaves_out_are_a_warning(said):
    said(*LABELS)
    ((level, message),) = said(*LABELS, "--limit-per-class", "1")
    assert level == "WARNING"
    rows = "2 rows (spots 1, stripes 1)"
    assert message.startswith(said_of(rows, "6 images of it will have no row"))
    assert said(*LABELS, "--limit-per-class", "2") == []


def test_images_that_are_gone_are_told_and_no_warning(said, names):
    said(*LABELS)
    next(names.glob("spots-*.jpg")).unlink()
    assert said(*LABELS) == [
        (
            "INFO",
            "replaces 8 rows (spots 4, stripes 4) of this source by 7 rows (spots 3, stripes 4)",
        )
    ]
