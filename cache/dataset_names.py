"""Which dataset is meant by what somebody typed."""

import os
from collections.abc import Collection, Sequence
from pathlib import PurePath

from cache.failures import UsageFailure

# The dataset of images that a program had in its hands; those of sources are paths or addresses.
IN_HAND = "python"


def source_datasets(known: Sequence[str]) -> list[str]:
    """Return the datasets that are meant where none is named: those of sources.

    Images that a program transformed are meant only where there are no others: most lie in a
    source as well, under another name and with a label.
    """
    return [name for name in known if name != IN_HAND] or list(known)


def dataset_named(known: Collection[str], typed: str) -> str:
    """Return the dataset that is meant: by its name, by a path, or by the last part of a name.

    known: the names of all datasets to choose from.

    Raises:
        UsageFailure: there is none, or there are several of that last part; it lists them.
    """
    path = os.path.abspath(os.path.expanduser(typed))  # noqa: PTH100, PTH111 - as typed
    for name in (typed, path):
        if name in known:
            return name
    last = PurePath(typed).name
    alike = [name for name in known if PurePath(name.replace("\\", "/")).name == last]
    if len(alike) == 1:
        return alike[0]
    several = f"{len(alike)} datasets are called" if alike else "there is no dataset"
    raise UsageFailure(f"{several} {typed}; there are: {', '.join(sorted(known)) or 'none'}")
