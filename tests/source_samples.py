"""Sources for tests: how they are written, and what became of their samples."""

import io
import json
import tarfile
import zipfile

import pytest
from PIL import Image

from cache.failures import Failure
from engine.sources.open import Unreadable, open_source


def picture(level=0):
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (level, 90, 200)).save(file, "JPEG")
    return file.getvalue()


JPEG = picture()


def zipped(path, *members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def info(name, size=0, **attributes):
    member = tarfile.TarInfo(name)
    member.size = size
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    return member


def tarred(path, *members, mode="w", **options):
    with tarfile.open(path, mode, **options) as archive:
        for member, data in members:
            if isinstance(member, str):
                member = info(member, len(data))
            archive.addfile(member, io.BytesIO(data))
    return path


def failure(path):
    with pytest.raises(Failure) as raised:
        open_source(path)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 1
    return str(raised.value)


def reasons(source):
    """Return what became of each sample: its bytes, or why not."""
    return {sample.path: outcome(source, sample) for sample in source.samples}


def outcome(source, sample):
    try:
        return source.read(sample)
    except Unreadable as unreadable:
        return unreadable.reason


def unreadable(source, path):
    (sample,) = [s for s in source.samples if s.path == path]
    with pytest.raises(Unreadable) as raised:
        source.read(sample)
    assert "\n" not in raised.value.reason
    return raised.value.reason


FILES = {
    "Pets/Cat/1.jpg": picture(1),
    "Pets/Cat/2.png": b"",
    "Pets/Cat/Thumbs.db": b"\xd0\xcf\x11\xe0",
    "Pets/Dog/no extension": picture(2),
    "Pets/Dog/old/1.JPG": picture(3),
    "Pets/Dog/.DS_Store": b"\0\0\0\1Bud1",
    "Pets/read me.txt": b"These are pets.",
    "__MACOSX/Pets/Cat/._1.jpg": b"\0\5\x16\7",
}
IMAGES = [
    ("Pets/Cat/1.jpg", "Cat"),
    ("Pets/Cat/2.png", "Cat"),
    ("Pets/Dog/no extension", "Dog"),
    ("Pets/Dog/old/1.JPG", "Dog"),
]


def write_folder(path):
    for name, data in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def zipped_in(encoding, path, *members):
    """Write a zip whose names are in an encoding that it does not name."""

    class Unsaid(zipfile.ZipInfo):
        def _encodeFilenameFlags(self):  # noqa: N802 - `zipfile`'s own
            return self.filename.encode(encoding), self.flag_bits & ~0x800

    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            archive.writestr(Unsaid(name), data)
    return path


def parquet(path, columns, classes=None, group=1000):
    """Write a parquet table; `classes` names a column's whole numbers as the hub does."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    table = pa.table(columns)
    if classes:
        features = {
            column: {"names": list(names), "_type": "ClassLabel"}
            for column, names in classes.items()
        }
        table = table.replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": features}})}
        )
    pq.write_table(table, path, row_group_size=group)
    return path
