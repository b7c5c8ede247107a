"""Which columns of a table have the paths, the labels and the splits, by the names in use."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from cache.commandline.printable import printable
from cache.failures import Failure, UsageFailure
from engine.images.formats import has_image_name
from engine.sources.base import SourceOptions
from engine.sources.dialect import Rows, shown_columns

# Without blanks, `_` and `-`, and in lower case; the first that is there counts.
_PATHS = (
    *("path", "filename", "file", "filepath", "filepaths", "image", "imagepath", "img"),
    *("imagename", "imgpath", "imgname", "fname", "imageid", "idcode", "id"),
)
_LABELS = ("label", "labels", "class", "category", "target", "species", "classname", "labelname")
_ADDRESSES = frozenset({"url", "urls", "imageurl", "imageurls", "link", "href"})
_SPLITS = ("split", "set", "subset", "dataset")

# Rows that a table without usual names is judged by.
_JUDGED = 1000

# As spreadsheets and programs write them.
ONES = frozenset({"1", "1.0", "true"})
_ZERO_OR_ONE = ONES | {"0", "0.0", "false"}


@dataclass(frozen=True)
class Columns:
    """Where in a row the values are, from 0; None for a table without.

    names: of all columns; None where the first row is no header.
    one_hot: columns of 0 and 1, of which the one with a 1 names the label.
    guesses: what was guessed, a line each.
    """

    names: Sequence[str] | None
    path: int
    label: int | None
    split: int | None
    one_hot: Sequence[int] = ()
    guesses: tuple[str, ...] = ()


def choose_columns(rows: Rows, options: SourceOptions, *, needs_label: bool = True) -> Columns:
    """Return which columns of a table are which.

    needs_label: whether a table without a label column is a failure, and a column that is alone
        beside the paths is one.

    Raises:
        Failure: there is no column of paths, or several may have the labels.
        UsageFailure: a column that the options name is not there.
    """
    first = list(islice(rows.values(), _JUDGED))
    names = rows.columns
    if names is None:
        if not first:
            raise Failure(f"{rows.shown} needs the first line path,label; it has none")
        if _is_header([values for _, values in first], options):
            names, first = first[0][1], first[1:]
        else:
            return _without_header(rows.shown, [values for _, values in first])
    _check_names(rows.shown, names, options)
    values = [values for _, values in first]
    path = _column(names, options.path_column, _PATHS)
    if path is None and any(_plain(name) in _ADDRESSES for name in names):
        raise Failure(
            f"{rows.shown} lists addresses on the web ({shown_columns(names)}); download the "
            "images, and list the files in a column path"
        )
    if path is not None:
        return _beside(rows.shown, names, path, options, values if needs_label else None)
    paths = _path_columns(values)
    if len(paths) != 1:
        raise Failure(
            f"{rows.shown} needs a column of paths, as in the first line path,label; it has "
            f"{shown_columns(names)}; say which column has the paths"
        )
    columns = _beside(rows.shown, names, paths[0], options, values if needs_label else None)
    guess = f"paths from the column {printable(names[paths[0]], 40)}, which has names of images"
    return replace(columns, guesses=(guess, *columns.guesses))


def _beside(
    shown: str,
    names: Sequence[str],
    path: int,
    options: SourceOptions,
    values: Sequence[Sequence[str]] | None,
) -> Columns:
    """Return which columns there are beside that of the paths. values: None: no label is needed."""
    split = _column(names, options.split_column, _SPLITS, path)
    if options.labels in ("none", "folder"):
        return Columns(names, path, None, split)
    if values is None and _column(names, options.label_column, _LABELS, path, split) is None:
        others = [name for n, name in enumerate(names) if n not in (path, split)]
        which = f"no column is called label; {shown_columns(others)} may have the labels"
        return Columns(names, path, None, split, (), (which,) if others else ())
    return _with_label(shown, names, path, split, options, values or ())


def _with_label(
    shown: str,
    names: Sequence[str],
    path: int,
    split: int | None,
    options: SourceOptions,
    values: Sequence[Sequence[str]],
) -> Columns:
    label = _column(names, options.label_column, _LABELS, path, split)
    others = [n for n in range(len(names)) if n not in (path, split)]
    # Beside the paths a number or a key of each row is no class: of 0 and 1 there are many columns.
    one_hot = [n for n in others if _plain(names[n]) not in _PATHS]
    if label is not None:
        guesses = (f"labels from the column {printable(names[label], 40)}",)
        usual = [names[path], names[label]] == ["path", "label"]
        return Columns(names, path, label, split, (), () if usual else guesses)
    if len(others) == 1:
        guesses = (f"labels from the column {printable(names[others[0]], 40)}, the only other",)
        return Columns(names, path, others[0], split, (), guesses)
    if one_hot and values and all(_is_one_hot(row, one_hot) for row in values):
        guesses = (f"labels from the {len(one_hot)} columns of 0 and 1, of which one is 1",)
        return Columns(names, path, None, split, one_hot, guesses)
    if not others or options.labels is not None:  # a regular expression: no column is needed
        return Columns(names, path, None, split)
    raise Failure(
        f"{shown} has no column called label, nor one that is alone beside the paths; it has "
        f"{shown_columns(names)}; say which column has the labels, or that none has"
    )


def _plain(name: str) -> str:
    return re.sub("[ _-]", "", name.strip().lower())


def _is_header(values: Sequence[Sequence[str]], options: SourceOptions) -> bool:
    """Tell whether the first row names columns: asked for, usual, or of images from the next on."""
    asked = {options.path_column, options.label_column, options.split_column} - {None}
    usual = {*_PATHS, *_LABELS, *_ADDRESSES}
    if asked or any(_plain(value) in usual for value in values[0]):
        return True
    return not any(map(_is_path, values[0])) and len(_path_columns(values[1:])) == 1


def _check_names(shown: str, names: Sequence[str], options: SourceOptions) -> None:
    for asked in (options.path_column, options.label_column, options.split_column):
        if asked is not None and asked not in names:
            raise UsageFailure(
                f"{shown} has no column {printable(asked)}; it has {shown_columns(names)}"
            )
    if len(set(names)) != len(names):
        raise Failure(
            f"{shown}: several columns of its first line have one name: {shown_columns(names)}"
        )


def _column(
    names: Sequence[str], asked: str | None, usual: Iterable[str], *taken: int | None
) -> int | None:
    """Return which column was asked for, or has one of the usual names and is not taken."""
    if asked is not None:
        return list(names).index(asked)
    plain = [_plain(name) for name in names]
    for name in usual:
        for place, other in enumerate(plain):
            if other == name and place not in taken:
                return place
    return None


def _is_one_hot(row: Sequence[str], columns: Iterable[int]) -> bool:
    return all(n < len(row) and row[n].strip().lower() in _ZERO_OR_ONE for n in columns)


def _without_header(shown: str, values: Sequence[Sequence[str]]) -> Columns:
    """Return the columns of a table of paths, or of paths and labels, that has no header."""
    width, paths = len(values[0]), _path_columns(values)
    if width > 2 or len(paths) != 1:
        raise Failure(
            f"{shown} needs the first line path,label, or two columns of which one has the names "
            f"of images; it has {shown_columns(values[0])}; say which column has the paths"
        )
    path = paths[0]
    label = 1 - path if width == 2 else None
    guess = "no header: the first row is an image as well"
    return Columns(None, path, label, None, (), (guess,))


def _path_columns(values: Sequence[Sequence[str]]) -> list[int]:
    """Return the columns of which every value is the name of an image."""
    width = len(values[0]) if values else 0
    return [n for n in range(width) if all(len(row) > n and _is_path(row[n]) for row in values)]


def _is_path(value: str) -> bool:
    return "://" not in value and has_image_name(value.replace("\\", "/").strip())
