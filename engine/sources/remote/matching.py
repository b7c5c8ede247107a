"""Several files of another file system by one pattern: `s3://bucket/shards-{000..099}.tar`."""

from urllib.parse import unquote

from cache.commandline.printable import printable
from cache.failures import Failure
from engine.sources.remote.address import RemotePath, remote_path
from engine.sources.remote.reading import retried
from engine.sources.shards import MAX_SHARDS, expanded

_WILD = "*?["
_WILD_ON_WEB = "*["  # a question mark begins a query


def is_wild(address: str) -> bool:
    """Return whether an address has a sign that stands for several names."""
    wild = _WILD_ON_WEB if address.startswith(("http://", "https://")) else _WILD
    return any(sign in address for sign in wild)


def remote_matches(pattern: str) -> list[RemotePath]:
    """Return the files that a pattern with braces and `*`, `?`, `[...]` stands for, in order.

    What braces name need not be there: it is missed when it is opened.

    Raises:
        Failure: none matches, or too many do.
    """
    places: dict[str, RemotePath] = {}
    for address in expanded(pattern):
        place = remote_path(address)
        each = _glob(place) if is_wild(address) else [place]
        places.update((place.shown, place) for place in each)
        if len(places) > MAX_SHARDS:
            raise Failure(f"{printable(pattern)} stands for over {MAX_SHARDS:,} files; divide it")
    if not places:
        raise Failure(f"there is no file that {printable(pattern)} could stand for")
    return list(places.values())


def _glob(pattern: RemotePath) -> list[RemotePath]:
    top = pattern.parent
    while is_wild(top.shown):
        top = top.parent
    start = top.key.rstrip("/") + "/"
    keys = sorted(map(str, retried(lambda: pattern.files.glob(pattern.key))))
    names = [key[len(start) :] for key in keys if key.startswith(start)]
    return [top / (unquote(name) if top.is_web else name) for name in names]
