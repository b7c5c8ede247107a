"""Options that several commands have, and values of options as argparse's types."""

import argparse
import os

# Where options are added: a parser, or a group of its help.
Options = argparse._ActionsContainer


def path(text: str) -> str:
    """Return a path as it was typed, but `~` and `~user` at its beginning are the home folder.

    A shell does that too, but neither in `--cache=~/pets` nor on Windows. Names that are no paths
    pass through, so an option may take either.
    """
    return os.path.expanduser(text)  # noqa: PTH111 - Path would drop a slash at the end, and ./


def count(text: str) -> int:
    """Return a whole number from 1 on."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def add_features_options(parser: argparse.ArgumentParser) -> None:
    """Add `--space` and `--dataset`: which features of a cache."""
    parser.add_argument(
        "--space",
        metavar="ID",
        help="which features, by the beginning of an id (default: the only ones with a dataset)",
    )
    parser.add_argument(
        "--dataset",
        action="append",
        metavar="NAME",
        help="which source's images; may be repeated (default: all)",
    )
