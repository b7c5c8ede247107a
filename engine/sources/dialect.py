"""Tables as text, in the dialects that programs write: rows of texts, whatever parts them.

Encodings: UTF-8, with a byte order mark or without, and UTF-16. Separators: comma, semicolon, tab.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from cache.commandline.printable import printable
from cache.failures import Failure

# A table of more rows, or more bytes, is refused.
MAX_ROWS = 5_000_000
MAX_TABLE_BYTES = 2**31

# Bytes that the encoding and the separator are told by.
_HEAD = 4096

_SEPARATORS = (",", ";", "\t")
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(frozen=True)
class Rows:
    """A table's rows, which can be gone through again.

    shown: the table's name, for messages.
    columns: the columns' names; None where the first row may have them.
    values: gives (line, texts) of each row in turn.
    """

    shown: str
    columns: Sequence[str] | None
    values: Callable[[], Iterator[tuple[int, Sequence[str]]]]


def text_rows(open_table: Callable[[], BinaryIO], shown: str) -> Rows:
    """Return the rows of a table with separators. open_table: opens it anew.

    Raises, as soon as rows are asked for:
        Failure: it is no such table, or has more than MAX_ROWS rows.
    """
    return Rows(shown, None, lambda: _text_values(open_table, shown))


def _text_values(
    open_table: Callable[[], BinaryIO], shown: str
) -> Iterator[tuple[int, Sequence[str]]]:
    line = 0
    try:
        with open_table() as binary:
            if binary.seek(0, io.SEEK_END) > MAX_TABLE_BYTES:
                raise Failure(f"{shown} is larger than {MAX_TABLE_BYTES >> 20} MiB; divide it")
            binary.seek(0)
            head = binary.read(_HEAD)
            binary.seek(0)
            encoding = _encoding(head)
            with io.TextIOWrapper(binary, encoding=encoding, newline="") as file:
                first = head.decode(encoding, "ignore").partition("\n")[0]
                reader = csv.reader(file, delimiter=_separator(first), strict=True)
                for values in reader:
                    line = reader.line_num
                    if line > MAX_ROWS:
                        raise Failure(f"{shown} has over {MAX_ROWS:,} lines; divide it")
                    if values:
                        yield line, values
    except csv.Error as error:
        raise Failure(f"{shown}, after line {line}: no valid CSV: {error}") from error
    except UnicodeError as error:
        reason = getattr(error, "reason", str(error))
        raise Failure(f"{shown} is not in UTF-8; save it as UTF-8: {reason}") from error
    except OSError as error:
        raise Failure(f"{shown} cannot be read: {error.strerror or error}") from error


def _encoding(head: bytes) -> str:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    # Without a mark UTF-16 shows by the zeros beside what is ASCII.
    if len(head) >= 4 and head[1] == head[3] == 0 != head[0]:
        return "utf-16-le"
    if len(head) >= 4 and head[0] == head[2] == 0 != head[1]:
        return "utf-16-be"
    return "utf-8"


def _separator(first_line: str) -> str:
    """Return what parts the values of the first line, the commonest outside of quotes."""
    unquoted = "".join(first_line.split('"')[::2])
    return max(_SEPARATORS, key=unquoted.count)


def json_rows(data: bytes, shown: str) -> Rows:
    """Return the rows of a text with a JSON object on each line.

    Values that are neither texts nor numbers are left empty.

    Raises:
        Failure: a line is no object.
    """
    objects = list[tuple[int, dict[str, object]]]()
    for number, text in enumerate(data.splitlines(), 1):
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Failure(f"{shown}, line {number}: no valid JSON: {error}") from error
        if not isinstance(value, dict):
            raise Failure(f"{shown}, line {number}: no JSON object")
        objects.append((number, value))
    columns = list(dict.fromkeys(key for _, value in objects for key in value))

    def values() -> Iterator[tuple[int, Sequence[str]]]:
        for number, value in objects:
            yield number, [as_text(value.get(column)) for column in columns]

    return Rows(shown, columns, values)


def as_text(value: object) -> str:
    """Return a text or a number as a table has it; nothing for other values."""
    return str(value) if isinstance(value, str | int | float) else ""


def shown_columns(columns: Sequence[str]) -> str:
    """Return the names of columns for a message."""
    return printable(",".join(columns)) or "none"
