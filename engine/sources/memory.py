"""A source of what a program has in its hands: paths, encoded bytes, pictures and arrays."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from cache.files import home_path
from engine.images.raw import array_bytes, picture_bytes
from engine.sources.base import MAX_BYTES, Listing, Sample, Source, Unreadable, within_limit
from engine.sources.regular import read_file

# What may be given for an image: where its file is, the bytes of one, a picture of Pillow's, or
# pixels, uint8 (H, W, 3) RGB.
Item = str | Path | bytes | Image.Image | np.ndarray


class MemorySource(Source):
    """Items as samples without labels; the same item twice is one sample.

    names: the samples' paths, one for each item: absolute ones of files, and for other items what
        they are and the beginning of their digest.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self.names = [_name(item) for item in items]
        self._items: Mapping[str, Item] = dict(zip(self.names, items, strict=True))
        super().__init__(Path(), Listing([Sample(name, None) for name in self._items]))

    def read(self, sample: Sample) -> bytes:
        """Return an item's bytes, see Source; for pictures and arrays see `engine.images.raw`."""
        data = _read(self._items[sample.path])
        within_limit(len(data))
        return data

    def close(self) -> None:
        """Do nothing: no file stays open."""


def _name(item: Item) -> str:
    if isinstance(item, str | Path):
        return str(home_path(item).absolute())
    kind = {bytes: "bytes", np.ndarray: "array"}.get(type(item), "picture")
    try:
        return f"{kind} {sha256(_read(item)).hexdigest()[:32]}"
    except Unreadable:
        return f"{kind} {id(item):x}"


def _read(item: Item) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, str | Path):
        return read_file(home_path(item))
    try:
        if isinstance(item, np.ndarray):
            return array_bytes(item)
        if 3 * item.width * item.height > MAX_BYTES:
            raise Unreadable(f"larger than {MAX_BYTES >> 20} MiB")
        return picture_bytes(item)
    except (OSError, ValueError, SyntaxError) as error:
        raise Unreadable(f"cannot be read: {error}") from error
