"""Which class and which split the images of each folder are of, by the folders' names."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cache.commandline.printable import printable
from cache.failures import Failure
from engine.sources.folder_tree import Folder, core, folder_tree, only_folder
from engine.sources.split_names import SIDES, side_of, without_common_words

# Folders named in one message.
_NAMED = 6


@dataclass(frozen=True)
class FolderReading:
    """What folders' names say of the images in them.

    places: (label, split) of the images in each directory, each None where there is none.
    guesses: what was guessed, a line each.
    """

    places: dict[str, tuple[str | None, str | None]]
    guesses: tuple[str, ...]


def read_folders(directories: Iterable[str], splits: str = "auto", name: str = "") -> FolderReading:
    """Return the class and the split of the images in each directory.

    directories: paths with `/` of all folders that hold images; `` for the top.
    splits: `auto`; `folders`: the topmost folders that may be splits are; `none`: none is.
    name: of the source, which a copy of it inside has as well; nothing where it is not known.

    Folders are splits if all of a level are named so, or if some of them are, hold the same
    folders of classes, and the others hold images alone (which have no label). The classes are
    the folders of the first level that is no split and not one single folder that holds folders;
    what lies deeper belongs to them, what lies higher has no label.

    Raises:
        Failure: folders may be splits or classes (the message has both readings), or there are
            more than MAX_FOLDERS.
    """
    places: _Places = dict.fromkeys(directories, (None, None))
    top = folder_tree(places, name)
    guesses: list[str] = []
    _read(top, splits, places, guesses)
    return FolderReading(places, tuple(guesses))


_Places = dict[str, tuple[str | None, str | None]]


def _read(top: Folder, splits: str, places: _Places, guesses: list[str]) -> None:
    node = top
    while True:
        if splits != "none" and (_are_splits_of_one(node, splits) or _are_splits(node, splits)):
            sides = _sides(node)
            _place_splits(node, places)
            if len(sides) > 1:
                named = ", ".join(f"{_shown(name)} ({side})" for name, side in sides.items())
                guesses.append(f"folders taken for splits: {named}; say if they are classes")
            return
        if len(node.folders) != 1 or not (child := only_folder(node)).folders:
            break
        node = child
    if splits != "none" and _place_inner_splits(node, places):
        guesses.append("the folders inside the classes' are taken for splits")
        return
    for child in node.folders.values():
        for directory in child.directories():
            places[directory] = (child.name, None)
    if splits != "none":
        guesses += _doubt(list(node.folders.values()))


def _doubt(classes: list[Folder]) -> Iterator[str]:
    """Yield a line for classes that look like splits, since all of them hold the same folders."""
    inner = [set(folder.folders) for folder in classes]
    if len(classes) > 1 and len(inner[0]) > 1 and all(names == inner[0] for names in inner):
        named = _list(sorted(folder.name for folder in classes))
        held = _list(sorted(inner[0]))
        yield f"{named} are taken for classes, though each holds {held}; say if they are splits"


def _are_splits(node: Folder, splits: str) -> bool:
    """Return whether the folders in a folder are splits.

    Raises:
        Failure: that cannot be decided.
    """
    folders = list(node.folders.values())
    speaking = [folder for folder in folders if folder.side in SIDES]
    if splits == "folders":
        return bool(speaking) or len(folders) > 1
    others = [folder for folder in folders if folder not in speaking]
    others = [folder for folder in others if not _is_copy(node, folder)]
    if not speaking or not others:
        return bool(speaking)
    with_classes = [folder for folder in speaking if core(folder).folders]
    if len(speaking) == 1 and not with_classes:
        return False  # a class that is called `train`, beside `bus`
    flat = all(not core(folder).folders for folder in others)
    unlabelled = all(folder.side is not None for folder in others)
    if flat and (unlabelled or (len(with_classes) > 1 and _share_classes(with_classes))):
        return True
    raise _undecided(node, speaking, with_classes)


def _are_splits_of_one(node: Folder, splits: str) -> bool:
    """Return whether folders are splits by what tells their names apart: `x_train`, `x_test`.

    Those with classes have to hold the same ones; others have no label. Their sides are noted then.

    Raises:
        Failure: they do not, so that cannot be decided.
    """
    folders = list(node.folders.values())
    sides = [side_of(rest) for rest in without_common_words([f.name for f in folders])]
    by_themselves = any(folder.side in SIDES for folder in folders)
    if by_themselves or len(set(sides)) < 2 or not set(sides) <= set(SIDES):
        return False
    with_classes = [folder for folder in folders if core(folder).folders]
    if splits == "auto" and not (with_classes and _share_classes(with_classes)):
        raise _undecided(node, folders, with_classes)
    for folder, side in zip(folders, sides, strict=True):
        folder.side = side
    return True


def _is_copy(node: Folder, folder: Folder) -> bool:
    """Return whether a folder holds its parent's splits once more, under the parent's name."""
    return folder.name == node.name and any(f.side in SIDES for f in folder.folders.values())


def _share_classes(folders: list[Folder]) -> bool:
    """Return whether each has at least half of its classes in common with the largest."""
    classes = [set(core(folder).folders) for folder in folders]
    largest = max(classes, key=len)
    return all(2 * len(largest & own) >= len(own) for own in classes)


def _sides(node: Folder) -> dict[str, str]:
    """Return the split that each folder in a folder stands for."""
    return {
        name: folder.side or name
        for name, folder in sorted(node.folders.items())
        if not _is_copy(node, folder)
    }


def _place_splits(node: Folder, places: _Places) -> None:
    sides = _sides(node)
    if len(set(sides.values())) == 1:
        sides = {}  # nothing is divided
    pending = list(node.folders.values())
    for folder in pending:
        if _is_copy(node, folder):
            pending += folder.folders.values()
            continue
        split = sides.get(folder.name, folder.side if sides else None)
        places.update((directory, (None, split)) for directory in folder.directories())
        for child in core(folder).folders.values():
            places.update((directory, (child.name, split)) for directory in child.directories())


def _place_inner_splits(node: Folder, places: _Places) -> bool:
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


def _undecided(node: Folder, speaking: list[Folder], with_classes: list[Folder]) -> Failure:
    classes = sorted({name for folder in with_classes for name in core(folder).folders})
    as_splits = f"of the classes {_list(classes)}" if classes else "without classes"
    return Failure(
        f"{_list(sorted(folder.name for folder in speaking))} may be splits {as_splits}, or "
        f"{_list(sorted(node.folders))} are the classes; choose by splits 'folders' or 'none'"
    )


def _list(names: Iterable[str]) -> str:
    shown = [_shown(name) for name in names]
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return ", ".join(shown[:_NAMED]) + more


def _shown(name: str) -> str:
    return printable(name, 40)
