"""Predictions as text, CSV or JSON on stdout, each written as it comes."""

import csv
import io
import json
import shutil
import sys
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


@dataclass
class Outcome:
    """How many predictions were written."""

    predicted: int = 0
    failed: int = 0

    def count(self, prediction: Prediction) -> None:
        """Count one."""
        if prediction.error:
            self.failed += 1
        else:
            self.predicted += 1


def write_text(groups: Iterable[Group], classes: Sequence[str]) -> Outcome:
    """Write aligned lines: path, label, probability. Safe for a terminal, whatever the names.

    On a terminal a long path loses its middle; through a pipe all of it is written.
    """
    outcome = Outcome()
    names = [printable(label, _LABEL_CELLS) for label in classes]
    label_cells = min(max(map(display_width, names)), _LABEL_CELLS)
    for group in groups:
        path_cells = max((display_width(printable(path, 4096)) for path in group.paths), default=0)
        if sys.stdout.isatty():
            room = shutil.get_terminal_size().columns - label_cells - len("  ") - len("  0.0000")
            path_cells = max(_PATH_CELLS, min(path_cells, room))
        for prediction in group.predictions:
            path = fitted(printable(prediction.path, 4096), path_cells)
            if prediction.probabilities is None:
                line = f"{path}  error: {printable(prediction.error, 400)}"
            else:
                code, probability = _best(prediction.probabilities)
                line = f"{path}  {fitted(names[code], label_cells)}  {probability:.4f}"
            _emit(line + "\n")
            outcome.count(prediction)
    return outcome


def write_csv(groups: Iterable[Group], classes: Sequence[str]) -> Outcome:
    """Write a table with the columns path, label, probability and error, by RFC 4180.

    UTF-8 behind a byte order mark, without which Excel takes it for another encoding. No cell
    begins like a formula: a path is then written as `./PATH`, which is the same file, and a label
    has an apostrophe put before it. JSON has every name exactly.
    """
    outcome = Outcome()
    buffer = io.StringIO(newline="")
    table = csv.writer(buffer)

    def flush() -> None:
        _emit(buffer.getvalue(), "utf-8")
        buffer.seek(0)
        buffer.truncate()

    buffer.write("\ufeff")
    table.writerow(["path", "label", "probability", "error"])
    flush()
    for prediction in _all(groups):
        path = f"./{prediction.path}" if prediction.path.startswith(_FORMULA) else prediction.path
        if prediction.probabilities is None:
            table.writerow([path, "", "", _inert(prediction.error)])
        else:
            code, probability = _best(prediction.probabilities)
            table.writerow([path, _inert(classes[code]), f"{probability:.6f}", ""])
        flush()
        outcome.count(prediction)
    return outcome


def write_json(groups: Iterable[Group], classes: Sequence[str]) -> Outcome:
    """Write a JSON list of objects: path, label and probabilities, or path and error.

    A line each, and a list also where the job is stopped half-way.
    """
    outcome = Outcome()
    separator = "["
    try:
        for prediction in _all(groups):
            record: dict[str, object] = {"path": prediction.path}
            if prediction.probabilities is None:
                record["error"] = prediction.error
            else:
                values = [float(value) for value in prediction.probabilities]
                record["label"] = classes[_best(prediction.probabilities)[0]]
                record["probabilities"] = dict(zip(classes, values, strict=True))
            _emit(f"{separator}{json.dumps(record)}", "utf-8")
            outcome.count(prediction)
            separator = ",\n"
    finally:
        _emit("[]\n" if separator == "[" else "]\n", "utf-8")
    return outcome


def _all(groups: Iterable[Group]) -> Iterator[Prediction]:
    for group in groups:
        yield from group.predictions


def _best(probabilities: np.ndarray) -> tuple[int, float]:
    code = int(probabilities.argmax())
    return code, float(probabilities[code])


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _emit(text: str, encoding: str | None = None) -> None:
    """Write to stdout, at once; what the encoding lacks is written as an escape.

    encoding: None for that of stdout.
    """
    data = text.encode(encoding or sys.stdout.encoding or "utf-8", "backslashreplace")
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
