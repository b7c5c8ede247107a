"""Layouts and dialects that people have, and what is read from each; docs/sources.md shows them.

A tree is a dict: a name with a number (that picture), bytes, a text, or a tree. A tree under a
name that ends like an archive's is packed.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from source_samples import info, parquet, picture, tarred, zipped, zipped_in

from cache.failures import Failure
from engine.sources.open import SourceOptions, Unreadable, open_source


@dataclass(frozen=True)
class Zip:
    """A zip whose names are in an encoding that it does not name."""

    encoding: str
    tree: dict


@dataclass(frozen=True)
class Parquet:
    """A parquet table. Numbers in the column `image` are pictures; classes: see `parquet`."""

    columns: dict
    classes: dict | None = None


@dataclass(frozen=True)
class Layout:
    """A layout, and what is read from it.

    source: the part of the tree that is given, where it is not all of it. classes: how many images
    each class has. splits: the same of splits. unlabelled: how many images have no label.
    says: parts of what is said before anything is run. rejected: why samples cannot be read.
    error: parts of the one line of a failure.
    """

    title: str
    tree: dict
    classes: dict = field(default_factory=dict)
    splits: dict = field(default_factory=dict)
    unlabelled: int = 0
    ignored: dict = field(default_factory=dict)
    says: tuple = ()
    rejected: tuple = ()
    error: tuple = ()
    source: str = ""
    options: SourceOptions = field(default_factory=SourceOptions)


def write(folder, tree):
    """Write a tree below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Zip):
            zipped_in(content.encoding, path, *_files(content.tree))
        elif isinstance(content, Parquet):
            parquet(path, _columns(content.columns), content.classes)
        elif isinstance(content, dict) and name.endswith(".zip"):
            zipped(path, *_files(content))
        elif isinstance(content, dict) and name.endswith((".tar", ".tar.gz")):
            members = [(info(n, len(data)), data) for n, data in _files(content)]
            tarred(path, *members, mode="w:gz" if name.endswith("gz") else "w")
        elif isinstance(content, dict):
            write(path, content)
        else:
            path.write_bytes(_data(content))
    return folder


def _files(tree, prefix=""):
    for name, content in tree.items():
        if isinstance(content, dict) and not name.endswith(".zip"):
            yield from _files(content, f"{prefix}{name}/")
        elif isinstance(content, dict):
            yield prefix + name, b"PK\5\6" + bytes(18)
        else:
            yield prefix + name, _data(content)


def _data(content):
    if isinstance(content, int):
        return picture(content)
    return content.encode() if isinstance(content, str) else content


def _columns(columns):
    images = columns.get("image", [0])
    if not all(isinstance(value, tuple) for value in images):
        return columns
    values = [
        {"bytes": picture(value[0]), "path": value[1]} if isinstance(value, tuple) else value
        for value in images
    ]
    return {**columns, "image": values}


@dataclass(frozen=True)
class Reading:
    """What was read from a layout; the fields of `Layout`, whole lines."""

    classes: dict
    splits: dict
    unlabelled: int
    ignored: dict
    says: tuple
    rejected: tuple
    error: str = ""


def read(layout, folder):
    """Write a layout into a folder and read it."""
    write(folder, layout.tree)
    try:
        with open_source(Path(folder, layout.source), layout.options) as source:
            reasons = [reason for s in source.samples if (reason := outcome(source, s))]
            return Reading(
                dict(Counter(s.label for s in source.samples if s.label is not None)),
                dict(Counter(s.split for s in source.samples if s.split is not None)),
                sum(s.label is None for s in source.samples),
                dict(source.ignored_kinds),
                source.guesses + source.warnings,
                tuple(reasons),
            )
    except Failure as failure:
        return Reading({}, {}, 0, {}, (), (), str(failure).replace(f"{folder}/", ""))


def outcome(source, sample):
    """Return why a sample cannot be read; None if it can."""
    try:
        source.read(sample)
    except Unreadable as unreadable:
        return unreadable.reason
    return None


CAT_DOG = {"cat": {"1.jpg": 1, "2.jpg": 2}, "dog": {"1.jpg": 3}}
OTHER_CAT_DOG = {"cat": {"5.jpg": 5}, "dog": {"6.jpg": 6}}
BOTH = {"cat": 2, "dog": 1}
ALL = {"cat": 3, "dog": 2}
SPLIT = {"train": 3, "test": 2}
FILES = {"1.jpg": 1, "2.jpg": 2, "3.jpg": 3}
LABELS = SourceOptions(labels=r"(cat|dog)\.\d+\.jpg")


def table(text, name="labels.csv", **rest):
    return {"tree": {name: text, **FILES}, "source": name, **rest}


FOLDERS = (
    Layout("a folder for each class", CAT_DOG, BOTH),
    Layout("one folder around them", {"PetImages": CAT_DOG}, BOTH),
    Layout(
        "folders below the classes'",
        {"cat": {"old": {"1.jpg": 1}, "2.jpg": 2}, "dog": {"1.jpg": 3}},
        BOTH,
    ),
    Layout(
        "other files among them",
        {
            **CAT_DOG,
            "notes.txt": "x",
            "paper.pdf": "%PDF-",
            "cat/Thumbs.db": b"\xd0",
            ".git/a": "x",
        },
        BOTH,
        ignored={".txt": 1, ".pdf": 1, ".db": 1, "hidden or system files": 1},
    ),
    Layout("train and test", {"train": CAT_DOG, "test": OTHER_CAT_DOG}, ALL, SPLIT),
    Layout(
        "train, val and test, in one folder",
        {"pets": {"train": CAT_DOG, "val": OTHER_CAT_DOG, "test": {"cat": {"7.jpg": 7}}}},
        {"cat": 4, "dog": 2},
        {"train": 3, "validation": 2, "test": 1},
    ),
    Layout(
        "an unlabelled neighbour",
        {
            "training_set": CAT_DOG,
            "test_set": OTHER_CAT_DOG,
            "single_prediction": {"cat_or_dog_1.jpg": 8},
        },
        ALL,
        {**SPLIT, "unlabelled": 1},
        1,
        says=("training_set (train)", "single_prediction (unlabelled)"),
    ),
    Layout(
        "doubled folders",
        {"training_set": {"training_set": CAT_DOG}, "test_set": {"test_set": OTHER_CAT_DOG}},
        ALL,
        SPLIT,
    ),
    Layout(
        "doubled, with one unlabelled",
        {
            "seg_train": {"seg_train": CAT_DOG},
            "seg_test": {"seg_test": OTHER_CAT_DOG},
            "seg_pred": {"seg_pred": {"9.jpg": 9}},
        },
        ALL,
        {**SPLIT, "unlabelled": 1},
        1,
    ),
    Layout("Training and Testing", {"Training": CAT_DOG, "Testing": OTHER_CAT_DOG}, ALL, SPLIT),
    Layout(
        "train_images, dev and validation",
        {"train_images": CAT_DOG, "dev": OTHER_CAT_DOG, "validation": {"dog": {"7.jpg": 7}}},
        {"cat": 3, "dog": 3},
        {"train": 3, "validation": 3},
    ),
    Layout(
        "the whole once more inside",
        {
            "chest": {
                "train": CAT_DOG,
                "test": OTHER_CAT_DOG,
                "chest": {"train": CAT_DOG, "test": OTHER_CAT_DOG},
            }
        },
        {"cat": 6, "dog": 4},
        {"train": 6, "test": 4},
    ),
    Layout(
        "the same, given itself",
        {
            "chest": {
                "train": CAT_DOG,
                "test": OTHER_CAT_DOG,
                "chest": {"train": CAT_DOG},
            }
        },
        {"cat": 5, "dog": 3},
        {"train": 6, "test": 2},
        source="chest",
    ),
    Layout(
        "splits of one name",
        {"pets_train": CAT_DOG, "pets_test": OTHER_CAT_DOG},
        ALL,
        SPLIT,
        says=("pets_test (test), pets_train (train)",),
    ),
    Layout(
        "classes that look like splits",
        {"first": CAT_DOG, "second": OTHER_CAT_DOG},
        {"first": 3, "second": 2},
        says=("first, second are taken for classes, though each holds cat, dog",),
    ),
    Layout(
        "splits inside the classes",
        {
            "cat": {"train": {"1.jpg": 1, "2.jpg": 2}, "test": {"5.jpg": 5}},
            "dog": {"train": {"1.jpg": 3}, "test": {"6.jpg": 6}},
        },
        ALL,
        SPLIT,
        says=("inside the classes'",),
    ),
    Layout(
        "a class that is called train",
        {"bus": {"1.jpg": 1}, "train": {"2.jpg": 2}, "car": {"3.jpg": 3}},
        {"bus": 1, "train": 1, "car": 1},
    ),
    Layout(
        "what may be either",
        {"bus": {"1.jpg": 1}, "train": {"old": {"2.jpg": 2}, "new": {"3.jpg": 3}}},
        error=("train may be splits of the classes new, old", "bus, train are the classes"),
    ),
    Layout(
        "the same, where splits are none",
        {"bus": {"1.jpg": 1}, "train": {"old": {"2.jpg": 2}, "new": {"3.jpg": 3}}},
        {"bus": 1, "train": 2},
        options=SourceOptions(splits="none"),
    ),
    Layout(
        "the same, where folders are splits",
        {"bus": {"1.jpg": 1}, "train": {"old": {"2.jpg": 2}, "new": {"3.jpg": 3}}},
        {"old": 1, "new": 1},
        {"bus": 1, "train": 2},
        1,
        options=SourceOptions(splits="folders"),
    ),
    Layout(
        "labels in the names, unasked",
        {"cat.0.jpg": 1, "cat.1.jpg": 2, "dog.0.jpg": 3, "dog.1.jpg": 4},
        unlabelled=4,
        says=("no image has a label", "labels '(cat|dog)[^/]*$'"),
    ),
    Layout(
        "the same, in one folder",
        {
            "images": {"cat_1.jpg": 1, "cat_2.jpg": 2, "dog_1.jpg": 3, "dog_2.jpg": 4},
            "annotations": {"list.txt": ""},
        },
        {"images": 4},
        ignored={".txt": 1},
        says=("of one class: images; the names begin with 'cat', 'dog'",),
    ),
    Layout(
        "labels in the names, by a regular expression",
        {"train": {"cat.0.jpg": 1, "cat.1.jpg": 2, "dog.0.jpg": 3}, "test1": {"1.jpg": 4}},
        BOTH,
        {"train": 3, "test": 1},
        1,
        says=("3 of 4 paths match",),
        options=LABELS,
    ),
    Layout(
        "labels that look alike",
        {
            "Café": {"1.jpg": 1},
            "Cafe\u0301": {"2.jpg": 2},
            "cat ": {"3.jpg": 3},
            "Cat": {"4.jpg": 4},
        },
        {"Café": 2, "cat": 1, "Cat": 1},
        says=("are one class", "'Cat', 'cat' are separate classes"),
    ),
    Layout(
        "one class",
        {"cat": {"1.jpg": 1}},
        {"cat": 1},
        says=("all images with a label are of one class: cat",),
    ),
    Layout(
        "metadata.csv of the hub",
        {"train": {"metadata.csv": "file_name,label\n1.jpg,cat\n2.jpg,cat\n3.jpg,dog\n", **FILES}},
        BOTH,
        says=("train/metadata.csv has the labels of 3 images",),
    ),
    Layout(
        "metadata.jsonl of the hub",
        {
            "metadata.jsonl": '{"file_name": "a/1.jpg", "label": "cat", "boxes": [1]}\n'
            '{"file_name": "a/2.jpg", "label": "cat"}\n{"file_name": "b/3.jpg", "label": "dog"}\n',
            "a": {"1.jpg": 1, "2.jpg": 2},
            "b": {"3.jpg": 3},
        },
        BOTH,
    ),
    Layout(
        "metadata that names what is not there",
        {"metadata.csv": "file_name,label\n1.jpg,cat\n8.jpg,dog\n", **FILES},
        {"cat": 1},
        unlabelled=2,
        says=("metadata.csv has the labels of 1 image", "1 row of it names no image here"),
    ),
    Layout(
        "metadata without labels",
        {"metadata.csv": "file_name,text,size\ncat/1.jpg,a cat,1\n", **CAT_DOG},
        BOTH,
        says=("metadata.csv has the labels of no images",),
    ),
)

TABLES = (
    Layout("path,label", **table("path,label\n1.jpg,cat\n2.jpg,cat\n3.jpg,dog\n"), classes=BOTH),
    Layout(
        "semicolons, UTF-16",
        **table("filename;class\n1.jpg;cat\n2.jpg;cat\n3.jpg;dög\n".encode("utf-16")),
        classes={"cat": 2, "dög": 1},
    ),
    Layout(
        "tabs",
        **table("Image Path\tCategory\n1.jpg\tcat\n2.jpg\tcat\n3.jpg\tdog\n", "labels.tsv"),
        classes=BOTH,
    ),
    Layout(
        "no header",
        **table("1.jpg,cat\n2.jpg,cat\n3.jpg,dog\n"),
        classes=BOTH,
        says=("no header",),
    ),
    Layout(
        "names of columns in another language",
        **table("Tierart;Foto\ncat;1.jpg\ncat;2.jpg\ndog;3.jpg\n"),
        classes=BOTH,
        says=("paths from the column Foto", "labels from the column Tierart"),
    ),
    Layout(
        "an id without the extension, images in a folder",
        {"labels.csv": "id,breed\n1,pug\n2,pug\n3,husky\n", "train": FILES, "test": {"9.jpg": 9}},
        {"pug": 2, "husky": 1},
        says=("labels from the column breed", "count from the folder train"),
        source="labels.csv",
    ),
    Layout(
        "a column of 0 and 1 for each class",
        **table("image_id,healthy,rust,scab\n1,1,0,0\n2,0,1,0\n3,0,1,1\n"),
        classes={"healthy": 1, "rust": 1},
        unlabelled=1,
        says=("3 columns of 0 and 1",),
        rejected=("2 of its columns of labels are 1 in the table",),
    ),
    Layout(
        "the same as true and false, beside a key",
        **table("id,file_name,cat,dog\n7,1.jpg,True,False\n8,2.jpg,False,True\n"),
        classes={"cat": 1, "dog": 1},
        says=("2 columns of 0 and 1",),
    ),
    Layout(
        "a column of splits",
        **table(
            "class id,filepaths,labels,data set\n0,1.jpg,OWL,train\n0,2.jpg,OWL,valid\n"
            "1,3.jpg,TIT,test\n"
        ),
        classes={"OWL": 2, "TIT": 1},
        splits={"train": 1, "validation": 1, "test": 1},
        says=("labels from the column labels",),
    ),
    Layout(
        "a column of splits, where splits are none",
        **table("path,label,split\n1.jpg,cat,train\n2.jpg,cat,train\n3.jpg,dog,test\n"),
        classes=BOTH,
        options=SourceOptions(splits="none"),
    ),
    Layout(
        "whole numbers, as a spreadsheet writes them",
        **table("path,label\n1.jpg,9.0\n2.jpg,10.0\n3.jpg,9.0\n"),
        classes={"9": 2, "10": 1},
    ),
    Layout(
        "measurements",
        **table("path,target\n1.jpg,0.5\n2.jpg,1.25\n3.jpg,2\n"),
        error=("numbers, and not whole ones", "measurements are no classes"),
    ),
    Layout(
        "measurements with a decimal comma",
        **table("path;target\n1.jpg;0,5\n2.jpg;1,25\n"),
        error=("not whole ones (0,5)", "measurements are no classes"),
    ),
    Layout(
        "back-slashes",
        {"labels.csv": "path,label\na\\1.jpg,cat\na\\2.jpg,dog\n", "a": FILES},
        {"cat": 1, "dog": 1},
        says=("back-slashes",),
        source="labels.csv",
    ),
    Layout(
        "columns by name, another folder",
        {"t/all.csv": "key,file,kind\nx,1.jpg,cat\ny,2.jpg,dog\n", "images": FILES},
        {"cat": 1, "dog": 1},
        source="t/all.csv",
        options=SourceOptions(label_column="kind", base="{folder}/images"),
    ),
    Layout(
        "several columns that may be labels",
        **table("image_id,dx,age,sex\n1,mel,40,f\n2,nv,50,m\n"),
        error=("no column called label", "image_id,dx,age,sex"),
    ),
    Layout(
        "addresses on the web",
        **table("image_url,label\nhttps://example.org/1.jpg,cat\n"),
        error=("lists addresses on the web", "download"),
    ),
    Layout(
        "addresses among the paths",
        **table("path,label\nhttps://example.org/1.jpg,cat\n"),
        error=("line 2", "an address on the web", "download"),
    ),
    Layout("a spreadsheet", {"a.xlsx": b"PK\3\4"}, error=("save it as CSV",), source="a.xlsx"),
    Layout(
        "parquet with paths",
        {"t.parquet": Parquet({"path": ["1.jpg", "2.jpg", "3.jpg"], "label": [9, 10, 9]}), **FILES},
        {"9": 2, "10": 1},
        source="t.parquet",
    ),
    Layout(
        "parquet with several columns that may be labels",
        {
            "t.parquet": Parquet(
                {"image": [(1, "1.jpg"), (2, "2.jpg")], "fine": [0, 1], "coarse": [0, 0]}
            )
        },
        unlabelled=2,
        says=("fine,coarse may have the labels",),
        source="t.parquet",
    ),
    Layout(
        "parquet of the hub",
        {
            "data/train-00000-of-00001.parquet": Parquet(
                {"image": [(1, "1.jpg"), (2, "2.jpg"), (3, "3.jpg")], "label": [0, 0, 1]},
                {"label": ["cat", "dog"]},
            ),
            "data/test-00000-of-00001.parquet": Parquet(
                {"image": [(5, "5.jpg"), (6, None)], "label": [1, -1]}, {"label": ["cat", "dog"]}
            ),
        },
        {"cat": 2, "dog": 2},
        SPLIT,
        1,
        says=("the files' names are taken to say the split",),
    ),
)

ARCHIVES = (
    Layout("zip", {"pets.zip": {"PetImages": CAT_DOG}}, BOTH, source="pets.zip"),
    Layout("tar.gz", {"pets.tar.gz": {"PetImages": CAT_DOG}}, BOTH, source="pets.tar.gz"),
    Layout(
        "zip, names in UTF-8 that it does not say",
        {"pets.zip": Zip("utf-8", {"chats à longs poils": FILES, "dog": {"5.jpg": 5}})},
        {"chats à longs poils": 3, "dog": 1},
        source="pets.zip",
    ),
    Layout(
        "zip, names of another code page",
        {"pets.zip": Zip("cp850", {"chats à longs poils": FILES, "dog": {"5.jpg": 5}})},
        {"chats à longs poils": 3, "dog": 1},
        says=("names are taken to be in cp850",),
        source="pets.zip",
    ),
    Layout(
        "WebDataset",
        {
            f"pets-{n}.tar": {f"{n}{k}.{s}": v for k in range(2) for s, v in e(n, k)}
            for n, e in (
                ("000", lambda n, k: (("jpg", 2 * int(n) + k), ("cls", str(k)))),
                ("001", lambda n, k: (("jpg", 2 * int(n) + k), ("json", f'{{"label": {k + 9}}}'))),
            )
        },
        {"0": 1, "1": 1, "9": 1, "10": 1},
        says=("from the .cls or .json beside each image",),
        source="pets-{000..001}.tar",
    ),
    Layout(
        "WebDataset with names of several parts",
        {
            "pets.tar": {
                f"{n}.{suffix}": content
                for n, label in (("00", "cat"), ("01", "dog"))
                for suffix, content in (("input.jpg", int(n)), ("target.cls", label))
            }
        },
        {"cat": 1, "dog": 1},
        source="pets.tar",
    ),
    Layout(
        "several tars whose names are splits",
        {"train-0.tar": CAT_DOG, "val-0.tar": OTHER_CAT_DOG},
        ALL,
        {"train": 3, "validation": 2},
        source="*-0.tar",
    ),
    Layout(
        "the same, where splits are none",
        {"train-0.tar": CAT_DOG, "val-0.tar": OTHER_CAT_DOG},
        ALL,
        source="*-0.tar",
        options=SourceOptions(splits="none"),
    ),
    Layout(
        "a zip of zips",
        {"all.zip": {"a.zip": {}, "b.zip": {}}},
        error=("2 .zip", "unpack"),
        source="all.zip",
    ),
    Layout("7z", {"a.7z": b"7z\xbc\xaf\x27\x1c"}, error=("unpack it (7z x)",), source="a.7z"),
    Layout("RAR", {"a.rar": b"Rar!\x1a\x07\0"}, error=("unpack it (unrar x)",), source="a.rar"),
    Layout(
        "a pointer instead of the file",
        {"a.zip": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"},
        error=("git lfs pull",),
        source="a.zip",
    ),
    Layout(
        "a page instead of the file",
        {"a.zip": "\n<!DOCTYPE html><html>"},
        error=("a page of the web",),
        source="a.zip",
    ),
    Layout(
        "one image",
        {"1.jpg": 1},
        error=("1.jpg is one image and no source of them; give the folder it is in",),
        source="1.jpg",
    ),
    Layout("a PDF", {"a.pdf": "%PDF-1.7"}, error=("extract its pictures",), source="a.pdf"),
)

LAYOUTS = {"Folders": FOLDERS, "Tables": TABLES, "Archives": ARCHIVES}
