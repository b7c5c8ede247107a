"""What is in the columns of a parquet table: the images' bytes, names of classes, texts."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cache.commandline.printable import printable
from cache.failures import Failure
from engine.sources.archive import check_count, one_line
from engine.sources.base import Location, SourceOptions
from engine.sources.dialect import MAX_ROWS

# Characters of a path or a label, and rows of them that are in memory at a time: few bytes in a
# dictionary can be many in each of many rows.
MAX_TEXT = 2**17
TEXT_ROWS = 16


def check_text(path: Location, text: str) -> None:
    """Raise Failure for a path or a label of more than MAX_TEXT characters."""
    if len(text) > MAX_TEXT:
        raise Failure(f"{printable(str(path))} has a text of over {MAX_TEXT:,} characters")


def table_damage(path: Location, error: Exception) -> Failure:
    """Return the Failure of a table that is not sound."""
    reason = printable(one_line(error))
    return Failure(f"{printable(str(path))} is no sound parquet file: {reason}; get it again")


def image_column(schema: Any, options: SourceOptions) -> str | None:
    """Return the path of the column with the images' bytes; None where there is none."""
    from pyarrow import types

    def holds_bytes(kind: Any) -> bool:
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    columns = list[str]()
    for field in schema:
        if types.is_struct(field.type):
            columns += [
                f"{field.name}.bytes"
                for inner in field.type
                if inner.name == "bytes" and holds_bytes(inner.type)
            ]
        elif holds_bytes(field.type):
            columns.append(field.name)
    if options.path_column is not None and options.path_column in schema.names:
        asked = options.path_column
        columns = [column for column in columns if column in (asked, f"{asked}.bytes")]
    if len(columns) > 1:
        raise Failure(
            f"several columns hold bytes: {printable(', '.join(columns))}; say which column has "
            "the images"
        )
    return columns[0] if columns else None


def class_names(schema: Any) -> dict[str, Sequence[str]]:
    """Return the names of classes that the hub keeps beside the schema: column -> names."""
    try:
        text = (schema.metadata or {}).get(b"huggingface", b"{}")
        features = json.loads(text)["info"]["features"]
        return {
            column: [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and isinstance(feature.get("names"), list)
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def texts(
    path: Location, file: Any, columns: Sequence[str], classes: Mapping[str, Sequence[str]]
) -> tuple[Sequence[str], Any]:
    """Return the names of those columns that hold texts and numbers, and what gives their rows."""
    from pyarrow import ArrowException, types

    def is_text(kind: Any) -> bool:
        return bool(
            types.is_string(kind)
            or types.is_large_string(kind)
            or types.is_integer(kind)
            or types.is_floating(kind)
            or types.is_boolean(kind)
            or (types.is_dictionary(kind) and is_text(kind.value_type))
        )

    names = [name for name in columns if is_text(file.schema_arrow.field(name).type)]
    check_count(path, file.metadata.num_rows, MAX_ROWS)

    def values() -> Iterator[tuple[int, Sequence[str]]]:
        line = 0
        try:
            for batch in file.iter_batches(TEXT_ROWS, columns=names, use_threads=False):
                lists = [
                    [_text(value, classes.get(name)) for value in batch.column(n).to_pylist()]
                    for n, name in enumerate(names)
                ]
                for text in (text for each in lists for text in each):
                    check_text(path, text)
                for row in zip(*lists, strict=True) if lists else [()] * batch.num_rows:
                    line += 1
                    yield line, row
        except (ArrowException, OSError, ValueError) as error:
            raise table_damage(path, error) from error

    return names, values


def _text(value: object, classes: Sequence[str] | None) -> str:
    if classes is not None and isinstance(value, int):
        return classes[value] if 0 <= value < len(classes) else ""
    return "" if value is None or value != value else str(value)
