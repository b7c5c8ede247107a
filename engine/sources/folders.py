"""Which class and which split the images of each folder are of, by the folders' names."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cache.commandline.printable import printable
from cache.failures import Failure
from engine.sources.split_names import SIDES, is_filler, side_of

# A source of more folders is refused: an archive can name many that are not there.
MAX_FOLDERS = 1_000_000

# Folders named in one message.
_NAMED = 6


@dataclass(slots=True)
class _Folder:
    """A folder with images in it or below it.

    spellings: its path as the source spells it, maybe in several ways; none where no images lie
        in it itself.
    """

    name: str
    spellings: list[str] = field(default_factory=list)
    folders: dict[str, "_Folder"] = field(default_factory=dict)

    def directories(self) -> Iterator[str]:
        """Yield the paths of all folders with images, this one and those below it."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield from node.spellings
            pending += node.folders.values()


@dataclass(frozen=True)
class FolderReading:
    """What folders' names say of the images in them.

    places: (label, split) of the images in each directory, each None where there is none.
    guesses: what was guessed, a line each.
    """

    places: dict[str, tuple[str | None, str | None]]
    guesses: tuple[str, ...]


def read_folders(directories: Iterable[str], splits: str = "auto") -> FolderReading:
    """Return the class and the split of the images in each directory.

    directories: paths with `/` of all folders that hold images; `` for the top.
    splits: `auto`; `folders`: the topmost folders that may be splits are; `none`: none is.

    Folders are splits if all of a level are named so, or if some of them are, hold the same
    folders of classes, and the others hold images alone (which have no label). The classes are
    the folders of the first level that is no split and not one single folder that holds folders;
    what lies deeper belongs to them, what lies higher has no label.

    Raises:
        Failure: folders may be splits or classes (the message has both readings), or there are
            more than MAX_FOLDERS.
    """
    places: _Places = dict.fromkeys(directories, (None, None))
    top = _tree(places)
    guesses: list[str] = []
    _read(top, splits, places, guesses)
    return FolderReading(places, tuple(guesses))


def components(path: str) -> list[str]:
    """Return the parts of a path with `/`, without empty ones, `.` and a drive."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return parts[1:] if parts and len(parts[0]) == 2 and parts[0][1] == ":" else parts


_Places = dict[str, tuple[str | None, str | None]]


def _tree(directories: Iterable[str]) -> _Folder:
    """Return the folders as they lie in each other, without those whose path climbs."""
    top, count = _Folder(""), 0
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
                node.folders[part] = _Folder(part)
            node = node.folders[part]
        node.spellings.append(directory)
    return top


def _read(top: _Folder, splits: str, places: _Places, guesses: list[str]) -> None:
    node = top
    while True:
        if splits != "none" and _are_splits(node, splits):
            sides = _sides(node)
            _place_splits(node, places)
            if len(sides) > 1:
                named = ", ".join(f"{_shown(name)} ({side})" for name, side in sides.items())
                guesses.append(f"folders taken for splits: {named}; say if they are classes")
            return
        if len(node.folders) != 1 or not (child := _only(node)).folders:
            break
        node = child
    if splits != "none" and _place_inner_splits(node, places):
        guesses.append("the folders inside the classes' are taken for splits")
        return
    for child in node.folders.values():
        for directory in child.directories():
            places[directory] = (child.name, None)


def _only(node: _Folder) -> _Folder:
    (child,) = node.folders.values()
    return child


def _core(node: _Folder) -> _Folder:
    """Return where a split's classes are: behind a copy of its own name, or one that says nothing.

    `training_set/training_set/cats`, `train/images/cats`.
    """
    while not node.spellings and len(node.folders) == 1:
        child = _only(node)
        same = child.name == node.name or side_of(child.name) == side_of(node.name) is not None
        if not (same or is_filler(child.name)):
            break
        node = child
    return node


def _are_splits(node: _Folder, splits: str) -> bool:
    """Return whether the folders in a folder are splits.

    Raises:
        Failure: that cannot be decided.
    """
    folders = list(node.folders.values())
    speaking = [folder for folder in folders if side_of(folder.name) in SIDES]
    if splits == "folders":
        return bool(speaking) or len(folders) > 1
    others = [folder for folder in folders if folder not in speaking]
    others = [folder for folder in others if not _is_copy(node, folder)]
    if not speaking or not others:
        return bool(speaking)
    with_classes = [folder for folder in speaking if _core(folder).folders]
    if len(speaking) == 1 and not with_classes:
        return False  # a class that is called `train`, beside `bus`
    flat = all(not _core(folder).folders for folder in others)
    unlabelled = all(side_of(folder.name) is not None for folder in others)
    if flat and (unlabelled or (len(with_classes) > 1 and _share_classes(with_classes))):
        return True
    raise _undecided(node, speaking, with_classes)


def _is_copy(node: _Folder, folder: _Folder) -> bool:
    """Return whether a folder holds its parent's splits once more, under the parent's name."""
    return folder.name == node.name and any(side_of(name) in SIDES for name in folder.folders)


def _share_classes(folders: list[_Folder]) -> bool:
    """Return whether each has at least half of its classes in common with the largest."""
    classes = [set(_core(folder).folders) for folder in folders]
    largest = max(classes, key=len)
    return all(2 * len(largest & own) >= len(own) for own in classes)


def _sides(node: _Folder) -> dict[str, str]:
    """Return the split that each folder in a folder stands for."""
    return {
        name: side_of(name) or name
        for name, folder in sorted(node.folders.items())
        if not _is_copy(node, folder)
    }


def _place_splits(node: _Folder, places: _Places) -> None:
    sides = _sides(node)
    if len(set(sides.values())) == 1:
        sides = {}  # nothing is divided
    pending = list(node.folders.values())
    for folder in pending:
        if _is_copy(node, folder):
            pending += folder.folders.values()
            continue
        split = sides.get(folder.name, side_of(folder.name) if sides else None)
        places.update((directory, (None, split)) for directory in folder.directories())
        for child in _core(folder).folders.values():
            places.update((directory, (child.name, split)) for directory in child.directories())


def _place_inner_splits(node: _Folder, places: _Places) -> bool:
    """Place images of `cat/train`, `cat/test`, `dog/train`, ...; return whether they lie so."""
    classes = list(node.folders.values())
    inner = {name for folder in classes for name in folder.folders}
    sides = {side_of(name) for name in inner}
    if (
        len(sides) < 2
        or not sides <= set(SIDES)
        or any(folder.spellings or not folder.folders for folder in classes)
    ):
        return False
    for folder in classes:
        for name, split in folder.folders.items():
            for directory in split.directories():
                places[directory] = (folder.name, side_of(name))
    return True


def _undecided(node: _Folder, speaking: list[_Folder], with_classes: list[_Folder]) -> Failure:
    classes = sorted({name for folder in with_classes for name in _core(folder).folders})
    as_splits = f"of the classes {_list(classes)}" if classes else "without classes"
    return Failure(
        f"{_list(folder.name for folder in speaking)} may be splits {as_splits}, or "
        f"{_list(sorted(node.folders))} are the classes; choose by splits 'folders' or 'none'"
    )


def _list(names: Iterable[str]) -> str:
    shown = [_shown(name) for name in names]
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return ", ".join(shown[:_NAMED]) + more


def _shown(name: str) -> str:
    return printable(name, 40)
