"""Predictions as text, CSV or JSON, a line at a time as they come."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cache.commandline.printable import printable
from engine.classifiers.classify import Group, Prediction
from engine.classifiers.text_columns import display_width, fitted

# The least that a path is shortened to on a terminal, and the most that a label takes, in cells.
_PATH_CELLS, _LABEL_CELLS = 12, 40

# Spreadsheets take a cell that begins so for a formula (OWASP, CSV Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


# The label where the most probable class is not probable enough.
UNSURE = "unsure"


@dataclass(frozen=True)
class Answers:
    """How probabilities become a label.

    classes: their names. unsure: the probability below which the label is UNSURE; 0 for never.
    """

    classes: Sequence[str]
    unsure: float = 0.0

    def of(self, probabilities: np.ndarray) -> tuple[str, float]:
        """Return the label and the probability of the most probable class."""
        code = int(probabilities.argmax())
        probability = float(probabilities[code])
        return (UNSURE if probability < self.unsure else self.classes[code]), probability

    def text(self, probabilities: np.ndarray) -> str:
        """Return the label as a person reads it: the most probable class behind UNSURE too."""
        best = printable(self.classes[int(probabilities.argmax())], _LABEL_CELLS)
        return f"{UNSURE} ({best})" if float(probabilities.max()) < self.unsure else best


@dataclass
class Outcome:
    """How many predictions came; those that are unsure are predicted too."""

    answers: Answers
    predicted: int = 0
    failed: int = 0
    unsure: int = 0

    def counted(self, groups: Iterable[Group]) -> Iterator[Group]:
        """Yield groups whose predictions are counted as they come."""
        for group in groups:
            yield Group(group.paths, map(self._count, group.predictions))

    def _count(self, prediction: Prediction) -> Prediction:
        if prediction.probabilities is None:
            self.failed += 1
        else:
            self.predicted += 1
            self.unsure += float(prediction.probabilities.max()) < self.answers.unsure
        return prediction


def text_lines(
    groups: Iterable[Group], answers: Answers, columns: int | None = None
) -> Iterator[str]:
    """Yield aligned lines: path, label, probability. Safe for a terminal, whatever the names.

    columns: of the terminal, where a long path loses its middle; None to write all of it.
    """
    widest = max(display_width(printable(label, _LABEL_CELLS)) for label in answers.classes)
    label_cells = min(widest, _LABEL_CELLS) + (len(f"{UNSURE} ()") if answers.unsure else 0)
    for group in groups:
        path_cells = max((display_width(printable(path, 4096)) for path in group.paths), default=0)
        if columns is not None:
            room = columns - label_cells - len("  ") - len("  0.0000")
            path_cells = max(_PATH_CELLS, min(path_cells, room))
        for prediction in group.predictions:
            path = fitted(printable(prediction.path, 4096), path_cells)
            if prediction.probabilities is None:
                yield f"{path}  error: {printable(prediction.error, 400)}\n"
            else:
                shown = fitted(answers.text(prediction.probabilities), label_cells)
                yield f"{path}  {shown}  {prediction.probabilities.max():.4f}\n"


def csv_lines(groups: Iterable[Group], answers: Answers) -> Iterator[str]:
    """Yield a table: path, label, probability and error, then a column for each class (RFC 4180).

    For UTF-8, behind a byte order mark, without which Excel takes it for another encoding. No
    cell begins like a formula: a path is then written as `./PATH`, which is the same file, and a
    label has an apostrophe put before it. JSON has every name exactly.
    """
    buffer = io.StringIO(newline="")
    table = csv.writer(buffer)

    def line(cells: Sequence[str]) -> str:
        table.writerow(cells)
        text = buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        return text

    columns = ["path", "label", "probability", "error", *map(_inert, answers.classes)]
    yield "\ufeff" + line(columns)
    for prediction in _all(groups):
        path = f"./{prediction.path}" if prediction.path.startswith(_FORMULA) else prediction.path
        if prediction.probabilities is None:
            yield line([path, "", "", _inert(prediction.error), *[""] * len(answers.classes)])
        else:
            label, probability = answers.of(prediction.probabilities)
            shares = [f"{share:.6f}" for share in prediction.probabilities]
            yield line([path, _inert(label), f"{probability:.6f}", "", *shares])


def json_lines(groups: Iterable[Group], answers: Answers) -> Iterator[str]:
    """Yield a JSON list of objects: path, label and probabilities, or path and error.

    A line each, and a list also where an exception ends the predictions half-way.
    """
    separator = "["
    try:
        for prediction in _all(groups):
            record: dict[str, object] = {"path": prediction.path}
            if prediction.probabilities is None:
                record["error"] = prediction.error
            else:
                values = [float(value) for value in prediction.probabilities]
                record["label"] = answers.of(prediction.probabilities)[0]
                record["probabilities"] = dict(zip(answers.classes, values, strict=True))
            yield f"{separator}{json.dumps(record, allow_nan=False)}"
            separator = ",\n"
    except (Exception, KeyboardInterrupt):
        yield "[]\n" if separator == "[" else "]\n"
        raise
    yield "[]\n" if separator == "[" else "]\n"


def _all(groups: Iterable[Group]) -> Iterator[Prediction]:
    for group in groups:
        yield from group.predictions


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
