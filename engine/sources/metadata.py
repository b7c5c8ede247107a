"""`metadata.csv` and `metadata.jsonl` beside images, as folders on the Hugging Face hub have."""

import io
from collections.abc import Container, Mapping

from cache.commandline.printable import printable
from cache.commandline.words import counted
from cache.failures import Failure
from engine.sources.base import Fields, SourceOptions
from engine.sources.dialect import json_rows, text_rows
from engine.sources.table_rows import table_rows

# The largest table beside images that is read.
MAX_METADATA_BYTES = 64 * 2**20

_NAMES = frozenset({"metadata.csv", "metadata.jsonl"})


def is_metadata(name: str) -> bool:
    """Return whether a file describes the images in its folder and below it."""
    return name.rsplit("/", 1)[-1] in _NAMES


def metadata_fields(
    files: Mapping[str, bytes], there: Container[str], options: SourceOptions
) -> tuple[dict[str, Fields], list[str]]:
    """Return what files of metadata say of images, by the images' paths, and how it was read.

    files: the bytes of each, by its name; none where they cannot be had, as of a pipe.
    there: the images' paths.

    Raises:
        Failure: one cannot be understood.
    """
    fields: dict[str, Fields] = {}
    lines = []
    for name, data in sorted(files.items()):
        shown = printable(name)
        if not data:
            lines.append(f"{shown} is empty or cannot be read, and so is left out")
            continue
        if len(data) > MAX_METADATA_BYTES:
            raise Failure(f"{shown} is larger than {MAX_METADATA_BYTES >> 20} MiB; leave it out")
        folder = name.rpartition("/")[0]
        prefix = f"{folder}/" if folder else ""
        if name.endswith(".jsonl"):
            rows = json_rows(data, shown)
        else:
            rows = text_rows(lambda data=data: io.BytesIO(data), shown)  # type: ignore[misc]
        images, guesses = table_rows(rows, options, needs_label=False)
        described = {prefix + image.path: image for image in images}
        labelled = {
            path: image
            for path, image in described.items()
            if image.label is not None and path in there
        }
        fields |= {path: Fields(image.label, image.split) for path, image in labelled.items()}
        lines.append(
            f"{shown} has the labels of "
            f"{counted(len(labelled), 'image') if labelled else 'no images'}"
        )
        if absent := sum(path not in there for path in described):
            lines.append(f"{shown}: {counted(absent, 'row')} of it {_names(absent)} no image here")
        lines += [f"{shown}: {guess}" for guess in guesses]
    return fields, lines


def _names(count: int) -> str:
    return "names" if count == 1 else "name"
