"""A table's rows as images: path, label and split of each, or why a row has none."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cache.commandline.printable import printable
from cache.failures import Failure
from engine.sources.base import Fields, Listing, SourceOptions
from engine.sources.columns import ONES, Columns, choose_columns
from engine.sources.dialect import Rows
from engine.sources.layout import listing
from engine.sources.split_names import side_of

_DECIMAL = re.compile(r"([+-]?\d+),(\d+)\Z")
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TableRow:
    """An image of a table. fault: why its row cannot be used; empty where it can."""

    path: str
    label: str | None
    split: str | None
    fault: str = ""


def table_listing(
    images: Sequence[TableRow], lines: Sequence[str], options: SourceOptions
) -> tuple[Listing, dict[str, str]]:
    """Return a table's images as samples, and the faults of those that have one, by path.

    lines: what was guessed.
    """
    fields = {image.path: Fields(image.label, image.split) for image in images}
    faults = {image.path: image.fault for image in images if image.fault}
    return listing([image.path for image in images], options, {}, fields, lines), faults


def table_rows(
    rows: Rows, options: SourceOptions, *, needs_label: bool = True
) -> tuple[list[TableRow], list[str]]:
    """Return the images of a table, in its order, and what was guessed.

    needs_label: see `choose_columns`.

    Raises:
        Failure: with the line, a table that says less than a path for each row, contradicts
            itself, lists addresses on the web, or whose labels are measurements.
        UsageFailure: a column that the options name is not there.
    """
    columns = choose_columns(rows, options, needs_label=needs_label)
    images = list(_images(rows, columns))
    lines = [*columns.guesses]
    images = _whole_numbers(rows.shown, images)
    texts = [image.path for image in images]
    if any("\\" in path for path in texts) and not any("/" in path for path in texts):
        images = [replace(image, path=image.path.replace("\\", "/")) for image in images]
        lines.append("back-slashes in paths are taken for slashes")
    return images, lines


def _images(rows: Rows, columns: Columns) -> Iterator[TableRow]:
    first_lines: dict[str, tuple[int, str | None]] = {}
    values = rows.values()
    if rows.columns is None and columns.names is not None:
        _, header = next(values)
        width = len(header)
    else:
        width = len(columns.names) if columns.names is not None else 0
    for line, row in values:
        width = width or len(row)
        if len(row) != width:
            raise Failure(
                f"{rows.shown}, line {line}: not {width} values; quote a value that holds a comma"
            )
        image = _image(rows.shown, line, row, columns)
        first, label = first_lines.setdefault(image.path, (line, image.label))
        if label != image.label:
            raise Failure(
                f"{rows.shown}, line {line}: {printable(image.path)} is "
                f"{printable(str(image.label))} here and {printable(str(label))} on line {first}; "
                "keep one of them"
            )
        yield image


def _image(shown: str, line: int, row: Sequence[str], columns: Columns) -> TableRow:
    path = row[columns.path]
    if not path:
        raise Failure(f"{shown}, line {line}: no path")
    if _URL.match(path):
        raise Failure(
            f"{shown}, line {line}: {printable(path, 80)} is an address on the web; download the "
            "images, and list the files"
        )
    split = row[columns.split].strip() if columns.split is not None else ""
    side = side_of(split) or split or None
    if columns.one_hot:
        assert columns.names is not None  # their names are the labels
        ones = [columns.names[n] for n in columns.one_hot if row[n].strip().lower() in ONES]
        if len(ones) != 1:
            count = (
                f"{len(ones)} of its columns of labels are" if ones else "no column of labels is"
            )
            return TableRow(path, None, side, f"{count} 1 in the table")
        return TableRow(path, ones[0], side)
    label = row[columns.label] if columns.label is not None else ""
    return TableRow(path, (label.strip() and label) or None, side)


def _whole_numbers(shown: str, images: list[TableRow]) -> list[TableRow]:
    """Return images whose labels, where all are numbers, are written as whole ones.

    Raises:
        Failure: they are numbers, and not whole ones.
    """
    labels = dict.fromkeys(image.label for image in images if image.label is not None)
    try:
        # Where `;` parts the values, a comma may be the decimal point.
        numbers = {label: float(_DECIMAL.sub(r"\1.\2", label)) for label in labels}
    except ValueError:
        return images
    for label, number in numbers.items():
        if not math.isfinite(number) or number != int(number):
            raise Failure(
                f"{shown}: its labels are numbers, and not whole ones ({printable(label, 40)}): "
                "measurements are no classes; say which column has the classes"
            )
    # A whole number with a comma may be thousands: it stays as it is.
    if any("," in label for label in labels) or not any(
        "." in label or "e" in label.lower() for label in labels
    ):
        return images
    return [
        image if image.label is None else replace(image, label=str(int(numbers[image.label])))
        for image in images
    ]
