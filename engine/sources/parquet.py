"""Parquet tables: with the images' bytes in them, as on the Hugging Face hub, or with their paths.

By pyarrow, which is an extra (`pip install 'onceover[parquet]'`). One file's images are read row
group by row group, row by row.
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cache.commandline.printable import printable
from cache.failures import Failure
from cache.rows import Stat
from engine.sources.archive import one_line
from engine.sources.base import (
    BY_ITSELF,
    Fields,
    Location,
    Sample,
    Source,
    SourceOptions,
    Unreadable,
    within_limit,
)
from engine.sources.dialect import Rows
from engine.sources.file_stats import FileStats
from engine.sources.layout import listing
from engine.sources.opened import open_location
from engine.sources.parquet_columns import (
    TEXT_ROWS,
    check_text,
    class_names,
    image_column,
    table_damage,
    texts,
)
from engine.sources.remote.address import RemotePath
from engine.sources.table_rows import table_rows
from engine.sources.tables import open_table

# Of what is not the images: the schema and its metadata, in bytes, and their parts.
MAX_SCHEMA_BYTES = 64 * 2**20
_MAX_PARTS = 1_000_000

# Rows that are read over, at most, to come to one further on.
_NEAR = 1024
_NOWHERE = -2 * _NEAR

_PATH = "path of the image"  # no column of a user's is called so


def open_parquet(path: Location, options: SourceOptions = BY_ITSELF) -> Source:
    """Open a parquet table, whichever of the two it is.

    Raises:
        Failure: pyarrow is not there, or the file is damaged, or says less than is needed.
    """
    file, stat = _opened(path)
    schema = file.schema_arrow
    column = image_column(schema, options)
    if column is None:
        rows = Rows(printable(str(path)), *texts(path, file, schema.names, {}))
        source = open_table(path, options, rows)
        file.close()
        return source
    try:
        return ParquetSource(path, (file, stat), column, options)
    except BaseException:
        file.close()
        raise


def _opened(path: Location) -> tuple[Any, Stat | None]:
    """Return a table open, and its stat where that can be trusted."""
    if isinstance(path, RemotePath):
        opened = open_location(path)
        return _open(path, io.BufferedReader(opened.raw, opened.ahead)), opened.stat
    return FileStats().around(path, lambda: _open(path, path))


def _open(path: Location, file: Path | io.BufferedReader) -> Any:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise Failure(
            f"{printable(str(path))} is read by pyarrow, which is not installed; "
            "pip install 'onceover[parquet]'"
        ) from error
    try:
        return ParquetFile(
            file,
            buffer_size=2**20,
            pre_buffer=False,
            thrift_string_size_limit=MAX_SCHEMA_BYTES,
            thrift_container_size_limit=_MAX_PARTS,
        )
    except (ArrowException, OSError, ValueError) as error:
        raise table_damage(path, error) from error


class ParquetSource(Source):
    """A parquet table with the images' bytes, in its order.

    Names of classes are taken from the metadata that the Hugging Face hub keeps. An image's path
    is the one beside its bytes, with the row's number where it is not the only one so, or is none.
    """

    sequential = True

    def __init__(
        self, path: Location, opened: tuple[Any, Stat | None], column: str, options: SourceOptions
    ) -> None:
        """opened: the table, and its stat where that can be trusted. column: of the bytes."""
        file, self._stat = opened
        self.location, self._file, self._column = path, file, column
        self._groups = [file.metadata.row_group(n) for n in range(file.num_row_groups)]
        schema = file.schema_arrow
        others = [name for name in schema.names if name != column.split(".")[0]]
        names, values = texts(path, file, others, class_names(schema))
        paths = _unique(list(self._paths()))

        def rows() -> Iterator[tuple[int, Sequence[str]]]:
            for (line, row), name in zip(values(), paths, strict=True):
                yield line, [name, *row]

        table = Rows(printable(str(path)), [_PATH, *names], rows)
        asked = SourceOptions(
            labels=options.labels,
            splits=options.splits,
            path_column=_PATH,
            label_column=options.label_column,
            split_column=options.split_column,
        )
        images, lines = table_rows(table, asked, needs_label=False)
        self._rows = {image.path: row for row, image in enumerate(images)}
        fields = {image.path: Fields(image.label, image.split) for image in images}
        super().__init__(path, listing(list(fields), options, {}, fields, lines))
        self._read_rows: Iterator[bytes | None] = iter(())
        self._next = _NOWHERE

    def _paths(self) -> Iterator[str]:
        """Yield the path beside each image's bytes; nothing where there is none."""
        from pyarrow import ArrowException

        struct, _, inner = self._column.partition(".")
        kind = self._file.schema_arrow.field(struct).type
        if not inner or all(field.name != "path" for field in kind):
            yield from [""] * self._file.metadata.num_rows
            return
        try:
            for batch in self._file.iter_batches(TEXT_ROWS, columns=[f"{struct}.path"]):
                for value in batch.column(0).to_pylist():
                    path = str((value or {}).get("path") or "")
                    check_text(self.location, path)
                    yield path.replace("\\", "/")
        except (ArrowException, OSError, ValueError) as error:
            raise table_damage(self.location, error) from error

    def read(self, sample: Sample) -> bytes:
        """Return the bytes of a row's image, see Source."""
        row = self._rows[sample.path]
        if not self._next <= row < self._next + _NEAR:
            self._read_rows, self._next = self._from(row), row
        data = None
        try:
            while self._next <= row:
                data = next(self._read_rows, None)
                self._next += 1
        except Unreadable:
            self._next = _NOWHERE
            raise
        if data is None:
            raise Unreadable("no bytes in its row of the table")
        within_limit(len(data))
        return data

    def _from(self, row: int) -> Iterator[bytes | None]:
        """Yield the bytes of each row from `row` on."""
        from pyarrow import ArrowException

        for number, group in enumerate(self._groups):
            if row >= group.num_rows:
                row -= group.num_rows
                continue
            try:
                # One row at a time: few bytes in a dictionary can be many in each of many rows.
                for batch in self._file.iter_batches(
                    1, row_groups=[number], columns=[self._column], use_threads=False
                ):
                    column = batch.column(0)
                    for place in range(row, len(column)):
                        value = column[place].as_py()
                        yield value.get("bytes") if isinstance(value, dict) else value
                    row = max(0, row - len(column))
            except (ArrowException, OSError, ValueError) as error:
                raise Unreadable(f"damaged in the table: {one_line(error)}") from error

    def stat(self, sample: Sample) -> Stat | None:
        """Return the table's stat, see Source."""
        del sample
        return self._stat

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _unique(paths: list[str]) -> list[str]:
    """Return paths that are all different, by their rows' numbers where they are not."""
    if "" not in paths and len(set(paths)) == len(paths):
        return paths
    return [f"{row:08d}/{path}" if path else f"{row:08d}" for row, path in enumerate(paths)]
