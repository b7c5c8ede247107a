"""The folders of a source as they lie in each other, by the paths of those that hold images."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cache.failures import Failure
from engine.sources.split_names import is_filler, side_of

# A source of more folders is refused: an archive can name many that are not there.
MAX_FOLDERS = 1_000_000


@dataclass(slots=True)
class Folder:
    """A folder with images in it or below it.

    side: the split that its name speaks of, see `side_of`.
    spellings: its path as the source spells it, maybe in several ways; none where no images lie
        in it itself.
    """

    name: str
    side: str | None
    spellings: list[str] = field(default_factory=list)
    folders: dict[str, "Folder"] = field(default_factory=dict)

    def directories(self) -> Iterator[str]:
        """Yield the paths of all folders with images, this one and those below it."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield from node.spellings
            pending += node.folders.values()


def components(path: str) -> list[str]:
    """Return the parts of a path with `/`, without empty ones, `.` and a drive."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return parts[1:] if parts and len(parts[0]) == 2 and parts[0][1] == ":" else parts


def folder_tree(directories: Iterable[str], name: str = "") -> Folder:
    """Return the folders as they lie in each other, without those whose path climbs.

    name: of the topmost, which holds all of them; nothing where it is not known.

    Raises:
        Failure: there are more than MAX_FOLDERS.
    """
    top, count = Folder(name, None), 0
    for directory in directories:
        parts = components(directory)
        if ".." in parts:
            continue
        node = top
        for part in parts:
            if part not in node.folders:
                count += 1
                if count > MAX_FOLDERS:
                    raise Failure(f"the images lie in over {MAX_FOLDERS:,} folders; divide them")
                node.folders[part] = Folder(part, side_of(part))
            node = node.folders[part]
        node.spellings.append(directory)
    return top


def only_folder(node: Folder) -> Folder:
    """Return the one folder in a folder of one."""
    (child,) = node.folders.values()
    return child


def core(node: Folder) -> Folder:
    """Return where a split's classes are: behind a copy of its own name, or one that says nothing.

    `training_set/training_set/cats`, `train/images/cats`.
    """
    while not node.spellings and len(node.folders) == 1:
        child = only_folder(node)
        same = child.name == node.name or child.side == node.side is not None
        if not (same or is_filler(child.name)):
            break
        node = child
    return node
