"""The options that say how a source is read."""

import argparse
from typing import TYPE_CHECKING

from cache.commandline.options import Options, path

if TYPE_CHECKING:
    from engine.sources.base import SourceOptions


def add_source_options(group: Options) -> None:
    """Add the options that say how a source is read; `source_options_from` reads them."""
    group.add_argument(
        "--labels",
        metavar="HOW",
        help="folder, column, none, or a regular expression over the path whose one group is the "
        "label, as in '(cat|dog)\\.\\d+\\.jpg' (default: by the source)",
    )
    group.add_argument(
        "--splits",
        choices=["auto", "folders", "none"],
        default="auto",
        help="whether folders are splits, such as train and test (default: auto)",
    )
    for what in ("path", "label", "split"):
        group.add_argument(
            f"--{what}-column",
            metavar="NAME",
            help=f"of a table, the column with the {what}s (default: by the usual names)",
        )
    group.add_argument(
        "--base",
        type=path,
        metavar="DIR",
        help="where a table's paths count from: a folder, or an archive (default: its folder)",
    )


def source_options_from(arguments: argparse.Namespace) -> "SourceOptions":
    """Return what those options say."""
    from engine.sources.base import SourceOptions

    return SourceOptions(
        arguments.labels,
        arguments.splits,
        arguments.path_column,
        arguments.label_column,
        arguments.split_column,
        arguments.base,
    )
