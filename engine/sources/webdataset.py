"""WebDataset: a tar with, beside each `KEY.jpg`, a `KEY.cls` or `KEY.json` that has its label."""

import json
from collections.abc import Iterable, Mapping

from engine.sources.base import Fields
from engine.sources.dialect import as_text
from engine.sources.split_names import side_of

# The largest file beside an image that is read for its label.
MAX_LABEL_BYTES = 64 * 2**10

_SUFFIXES = ("cls", "json")

# Keys of a JSON object, the first that is there.
_LABELS = ("label", "class", "cls", "category", "target", "species")


def label_file(name: str) -> tuple[str, str] | None:
    """Return key and suffix of a file that may have the label of the image beside it, or None.

    Of `0.target.cls`, beside `0.input.jpg`, the suffix is the last part.
    """
    key, rest = split_key(name)
    suffix = rest.rpartition(".")[2]
    return (key, suffix) if suffix in _SUFFIXES else None


def split_key(name: str) -> tuple[str, str]:
    """Return what files of one sample have in common, and the rest: up to the first dot."""
    folder, slash, base = name.rpartition("/")
    key, _, suffix = base.partition(".")
    return folder + slash + key, suffix.lower()


def label_of(suffix: str, data: bytes) -> Fields | None:
    """Return what the bytes of a file beside an image say of it; None for nothing."""
    try:
        text = data.decode("utf-8-sig").strip()
        if suffix == "cls":
            return Fields(text) if text and "\n" not in text else None
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    label = next((text for key in _LABELS if (text := as_text(value.get(key)))), None)
    split = as_text(value.get("split"))
    return Fields(label, side_of(split) or split or None) if label else None


def fields_of(
    images: Iterable[str], labels: Mapping[str, Fields]
) -> tuple[dict[str, Fields], list[str]]:
    """Return what the files beside images say of them, and a line that says so.

    labels: by key. Nothing if fewer than half of the images have a label so.
    """
    images = list(images)
    fields = {name: labels[key] for name in images if (key := split_key(name)[0]) in labels}
    if not fields or 2 * len(fields) < len(images):
        return {}, []
    return fields, ["labels from the .cls or .json beside each image"]
