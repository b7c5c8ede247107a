"""Tables, whichever file system they and their images are on."""

from functools import partial

from cache.commandline.printable import printable
from cache.files import home_path
from engine.sources.archived_table import ArchivedTable
from engine.sources.base import BY_ITSELF, Location, Source, SourceOptions
from engine.sources.dialect import Rows, text_rows
from engine.sources.opened import open_buffered
from engine.sources.remote.address import RemotePath, is_remote, remote_path
from engine.sources.remote.table import RemoteTable
from engine.sources.table import TableSource


def open_table(
    path: Location, options: SourceOptions = BY_ITSELF, rows: Rows | None = None
) -> Source:
    """Open a table that lists images by their paths.

    rows: what it says, where it is no text with separators.

    Raises:
        Failure: with the line, a table that says less than is needed, or contradicts itself.
    """
    rows = rows or text_rows(partial(open_buffered, path), printable(str(path)))
    base: Location = path.parent
    if options.base is not None:
        remote = is_remote(options.base)
        base = remote_path(options.base) if remote else home_path(options.base)
    if isinstance(base, RemotePath):
        return RemoteTable(path, base, rows, options)
    if base.is_file():
        return ArchivedTable(path, base, rows, options)
    return TableSource(path, base, rows, options)
