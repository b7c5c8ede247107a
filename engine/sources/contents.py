"""What is in a folder or an archive: images, what describes them, and what is ignored."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from engine.images.formats import HEAD_BYTES
from engine.sources.base import Fields, Listing, SourceOptions
from engine.sources.layout import REPLACED, ignored_kind, listing
from engine.sources.metadata import MAX_METADATA_BYTES, is_metadata, metadata_fields
from engine.sources.webdataset import MAX_LABEL_BYTES, fields_of, label_file, label_of

# Gives the first so many bytes of a file; none where they cannot be had.
First = Callable[[int], bytes]


@dataclass(frozen=True)
class Contents:
    """Files by what they are.

    images: their names, in the order that they came in. metadata: tables that describe images, by
        name. beside: labels from files beside images, by the key that both have.
    ignored_kinds: how many others there are, by kind; beside_kinds: of those that `beside` is from.
    """

    images: dict[str, None] = field(default_factory=dict)
    metadata: dict[str, bytes] = field(default_factory=dict)
    beside: dict[str, Fields] = field(default_factory=dict)
    ignored_kinds: Counter[str] = field(default_factory=Counter)
    beside_kinds: Counter[str] = field(default_factory=Counter)

    def listing(self, options: SourceOptions, guesses: Iterable[str] = ()) -> Listing:
        """Return the images as samples, sorted by path. Raises as `layout.listing` does."""
        lines = [*guesses]
        fields: Mapping[str, Fields] = {}
        ignored = self.ignored_kinds
        if options.labels in (None, "column"):
            fields, more = fields_of(self.images, self.beside)
            if not fields:
                ignored = ignored + self.beside_kinds
                fields, more = metadata_fields(self.metadata, self.images, options)
            lines += more
        else:
            ignored = ignored + self.beside_kinds
        return listing(sorted(self.images), options, ignored, fields, lines)


def contents(files: Iterable[tuple[str, First]], *, labels_beside: bool = False) -> Contents:
    """Tell files by their names, with `/`, or by their first bytes where a name does not tell.

    labels_beside: whether to read the files that have the label of an image beside them.
    Of files with one name the last counts.
    """
    result = Contents()
    for name, first in files:
        if is_metadata(name):
            result.metadata[name] = first(MAX_METADATA_BYTES + 1)
            continue
        kind = ignored_kind(name, partial(first, HEAD_BYTES))
        if result.images.pop(name, "absent") is None:
            result.ignored_kinds[REPLACED] += 1
        if kind is None:
            result.images[name] = None
        elif labels_beside and (sidecar := label_file(name)):
            key, suffix = sidecar
            result.beside_kinds[kind] += 1
            if fields := label_of(suffix, first(MAX_LABEL_BYTES)):
                result.beside[key] = fields
        else:
            result.ignored_kinds[kind] += 1
    return result
