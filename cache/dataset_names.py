"""Which dataset is meant by what somebody typed."""

import os
from collections.abc import Collection
from pathlib import PurePath

from cache.failures import UsageFailure


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
