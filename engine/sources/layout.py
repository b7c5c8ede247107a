"""Which files of a source are samples, and of which class, by where they lie."""

from collections.abc import Callable, Iterable

from engine.images.formats import HEAD_BYTES, has_image_name, image_format
from engine.sources.base import Sample

# Folders that divide a data set and are no classes. Onceover splits by itself.
SPLITS = frozenset(
    {"train", "training", "val", "valid", "validation", "test", "testing", "eval", "evaluation"}
)

# Folders that systems put beside the user's files.
_SYSTEM = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"})


def is_sample(name: str, head: Callable[[], bytes]) -> bool:
    """Return whether a file is taken for an image: by its name, else by its content.

    name: its path with `/`. Files in hidden or system folders are none, nor are the `._` files
        that macOS writes beside others.
    head: gives its first HEAD_BYTES bytes; not called where the name tells.
    """
    *folders, base = components(name)
    if base.startswith("._") or any(map(_is_passed_over, folders)):
        return False
    return has_image_name(base) or image_format(head()[:HEAD_BYTES]) is not None


def _is_passed_over(folder: str) -> bool:
    return folder in _SYSTEM or (folder.startswith(".") and folder != "..")


def with_labels(names: Iterable[str]) -> list[Sample]:
    """Return images with their classes, sorted by path.

    The classes are the folders of the first level that is not looked through; what lies deeper
    belongs to them, what lies higher has no label. A level is looked through if it is one folder
    that holds folders of images (`PetImages/`), or if all its folders are named in SPLITS.
    An image whose path climbs (`..`) has no label and no say in this.
    """
    ordered = sorted(names)
    paths = [components(name) for name in ordered]
    level = 0
    while _is_passed_through([p for p in paths if len(p) > level + 1], level):
        level += 1
    return [
        Sample(name, path[level] if len(path) > level + 1 and not climbs(name) else None)
        for name, path in zip(ordered, paths, strict=True)
    ]


def _is_passed_through(paths: list[list[str]], level: int) -> bool:
    folders = {path[level] for path in paths if ".." not in path}
    if folders and all(folder.lower() in SPLITS for folder in folders):
        return True
    return len(folders) == 1 and any(len(path) > level + 2 for path in paths if ".." not in path)


def components(name: str) -> list[str]:
    """Return the parts of a path with `/`, without empty ones, `.` and a drive; at least one."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if len(parts) > 1 and len(parts[0]) == 2 and parts[0][1] == ":":
        parts = parts[1:]
    return parts or [""]


def climbs(name: str) -> bool:
    """Return whether a path goes up somewhere, and so maybe out of its source."""
    return ".." in name.split("/")
