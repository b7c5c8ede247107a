"""Values of options, as argparse's types."""

import argparse
import os


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
