"""A source opened again, for its images alone, by what was kept of how it was opened before."""

from collections.abc import Mapping
from pathlib import Path

from cache.files import home_path
from engine.sources.base import Source, SourceOptions
from engine.sources.open import open_source
from engine.sources.remote.address import is_remote, unsigned


def origin_of(options: SourceOptions) -> dict[str, str]:
    """Return what leads from a table to its images, for `open_images` in any folder and process."""
    origin = {}
    if options.path_column is not None:
        origin["path_column"] = options.path_column
    if options.base is not None:
        base = options.base
        # A signature is nobody else's, and ends.
        origin["base"] = unsigned(base) if is_remote(base) else str(home_path(base).resolve())
    return origin


def open_images(location: str | Path, origin: Mapping[str, str]) -> Source:
    """Open a source of which only the images are wanted: no labels, no splits.

    origin: as `origin_of` gives it; what else is in it counts for nothing.

    Raises: as `open_source`.
    """
    options = SourceOptions(
        labels="none",
        splits="none",
        path_column=origin.get("path_column"),
        base=origin.get("base"),
    )
    return open_source(location, options)
