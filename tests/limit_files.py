"""Sources, heads, records and networks just below a limit, each written by a function of its name.

`tests/limit_cases.py` has the images, and reads any of them in a process of its own.
"""

import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache import record, summaries
from cache.failures import Failure
from engine.heads import head
from engine.sources import (
    dialect,
    folder_tree,
    metadata,
    parquet,
    shards,
    tar_members,
    zip_directory,
)
from engine.sources.base import MAX_BYTES
from engine.sources.open import Unreadable, open_source

# Where a limit itself would take minutes to write: so many times fewer.
_TENTH = 10


@dataclass(frozen=True)
class Case:
    """A file or folder, how it is written to a path, and how it is read from there.

    share: of the limit, where it is not all of it.
    """

    file: str
    write: Callable[[Path], None]
    read: Callable[[Path], str]
    share: str = ""


def read_source(path):
    """Open a source and read its first sample; return how it went."""
    try:
        with open_source(path) as source:
            try:
                source.read(source.samples[0])
            except Unreadable as unreadable:
                return f"{len(source.samples):,} samples; the first: {unreadable.reason}"
            return f"{len(source.samples):,} samples"
    except Failure as failure:
        return str(failure).replace(str(path), path.name)


def csv_rows(path):
    with path.open("wb") as file:
        file.write(b"path,label\n")
        file.writelines(b"%d.jpg,a\n" % row for row in range(dialect.MAX_ROWS - 1))


def zip_members(path):
    """Members of no bytes, listed in one pass."""
    names = [b"%d.jpg" % number for number in range(zip_directory.MAX_ZIP_MEMBERS - 1)]
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 0, 0, 5, 0) + b"0.jpg"
    entry = struct.Struct("<4s6H3L5H2L")
    listed = b"".join(
        entry.pack(b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, len(n), 0, 0, 0, 0, 0, 0) + n
        for n in names
    )
    place = len(local) + len(listed)
    big = struct.pack(
        "<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, *[len(names)] * 2, len(listed), len(local)
    )
    end = struct.pack("<4sLQL", b"PK\6\7", 0, place, 1)
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)
    path.write_bytes(local + listed + big + end + last)


def zip_member_bytes(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.bmp", b"BM" + bytes(MAX_BYTES - 2))


class _Zeros:
    """So many bytes of a bitmap, without memory for them."""

    def __init__(self, size):
        self.left = size

    def read(self, size):
        size = min(size, self.left)
        begins, self.left = self.left == MAX_BYTES, self.left - size
        return (b"BM" if begins else b"\0\0")[:size].ljust(size, b"\0")


def _member(name, size=0):
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def tar_files(path):
    block, end = bytearray(_member("0000000.jpg").tobuf()), bytes(2 * tarfile.BLOCKSIZE)
    with path.open("wb") as file:
        for number in range(tar_members_limit() // _TENTH - 1):
            block[:7] = b"%07d" % number
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
            file.write(block)
        file.write(end)


def tar_members_limit():
    from engine.sources.archive import MAX_MEMBERS

    return MAX_MEMBERS


def tar_packed_bytes(path):
    """Members of the largest size in a packed tar, of which no more are read than one at a time."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for number in range(3):
            archive.addfile(_member(f"{number}.bmp", MAX_BYTES), _Zeros(MAX_BYTES))


def tar_headers(path):
    """Members whose headers are just below the limit, by one long attribute."""
    text = "é" * (tar_members.MAX_HEADER_BYTES // 2 - 2000)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(40):
            member = _member(f"{number}.jpg")
            member.pax_headers = {"comment": text}
            archive.addfile(member)


def webdataset_shards(path):
    """As many shards as are taken, of a picture and a label each."""
    path.mkdir()
    for number in range(shards.MAX_SHARDS // _TENTH):
        with tarfile.open(path / f"s-{number:04d}.tar", "w") as archive:
            for name, data in (("a.jpg", b"\xff\xd8\xff"), ("a.cls", b"1")):
                archive.addfile(_member(name, len(data)), _bytes(data))


def _bytes(data):
    import io

    return io.BytesIO(data)


def read_shards(path):
    return read_source(f"{path}/s-{{0000..{shards.MAX_SHARDS // _TENTH - 1:04d}}}.tar")


def parquet_rows(path):
    """A table of paths."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    count = dialect.MAX_ROWS // _TENTH - 1
    paths = pa.array([f"{row}.jpg" for row in range(count)])
    labels = pa.array(["a", "b"]).take(pa.array(np.arange(count) % 2))
    pq.write_table(pa.table({"path": paths, "label": labels}), path)


def parquet_parts(path):
    """A table of so many row groups and columns that its schema is just below the limit."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    columns = 100
    groups = parquet._MAX_PARTS // columns // _TENTH - 1
    texts = {"path": ["a.jpg"] * groups, "label": ["a"] * groups}
    table = pa.table(texts | {f"c{n}": [0] * groups for n in range(columns - 2)})
    pq.write_table(table, path, row_group_size=1)


def folder_count(path):
    for number in range(folder_tree.MAX_FOLDERS // _TENTH - 1):
        (path / f"{number // 1000}").mkdir(parents=True, exist_ok=True)
        (path / f"{number // 1000}" / f"{number}").mkdir()
    (path / "0" / "0" / "a.jpg").write_bytes(b"\xff\xd8\xff")


def folder_metadata(path):
    path.mkdir()
    line = b'{"file_name": "%07d.jpg", "label": "a"}\n'
    with (path / "metadata.jsonl").open("wb") as file:
        count = metadata.MAX_METADATA_BYTES // len(line % 0) - 1
        file.writelines(line % row for row in range(count))
    (path / "0000000.jpg").write_bytes(b"\xff\xd8\xff")


def head_bytes(path):
    """The head of the most classes that a file holds, on 4,096 features."""
    classes = head._MAX_BYTES // 4 // 4096 - 2000
    names = tuple(f"class {number}" for number in range(classes))
    weights = np.zeros((4096, classes), np.float32)
    head.Head(weights, np.zeros(classes, np.float32), names, "0" * 16, {}, {}).save(path)


def read_head(path):
    return f"{len(head.load_head(path).classes):,} classes"


def cache_record(path):
    record.write_record(path, "space", {"notes": "x" * (record._MAX_BYTES - 1000)})


def read_record(path):
    return f"{len(record.read_record(path, 'space')['notes']):,} characters"


def head_summary(path):
    (path / "head").mkdir(parents=True)
    figures = json.dumps(
        {"summary": "2 classes", "history": [0.5] * (summaries.MAX_BYTES // 5 - 99)}
    )
    (path / "head" / "metrics.json").write_text(figures)


def read_summaries(path):
    return summaries.list_summaries(path)[0].text


def keras_description(path):
    from engine.exporters.keras_file import _MAX_CONFIG

    layer = {"class_name": "Dense", "config": {}, "module": "keras.layers"}
    text = json.dumps({"layers": [layer] * (_MAX_CONFIG // (len(json.dumps(layer)) + 2) - 9)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", text)


def read_description(path):
    from engine.exporters.keras_file import _checked_config

    return f"{len(_checked_config(path)):,} characters looked through"


def onnx_pixels(path):
    """A network of the largest images: it is run over five of them when it is exported."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from engine.backbones.request import MAX_SIDE

    kernel = numpy_helper.from_array(np.ones((4, 3, 8, 8), np.float32), "kernel")
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["map"], strides=[8, 8]),
        helper.make_node("GlobalAveragePool", ["map"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["out"]),
    ]
    shapes = {"image": ["N", 3, MAX_SIDE, MAX_SIDE], "out": ["N", 4]}
    image, out = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    )
    graph = helper.make_graph(nodes, "large", [image], [out], [kernel])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def read_network(path):
    from engine.backbones.request import backbone_request
    from engine.exporters.backbone import export_backbone

    request = backbone_request(str(path), "imagenet", None, "none")
    return f"{export_backbone(request, path.with_name('out.onnx')).description.features} features"


CASES = {
    "csv_rows": Case("table.csv", csv_rows, read_source),
    "zip_members": Case("many.zip", zip_members, read_source),
    "zip_member_bytes": Case("large.zip", zip_member_bytes, read_source),
    "tar_files": Case("many.tar", tar_files, read_source, "a tenth of the limit"),
    "tar_packed_bytes": Case("packed.tar.gz", tar_packed_bytes, read_source),
    "tar_headers": Case("headers.tar", tar_headers, read_source),
    "webdataset_shards": Case("shards", webdataset_shards, read_shards, "a tenth of the limit"),
    "parquet_rows": Case("rows.parquet", parquet_rows, read_source, "a tenth of the limit"),
    "parquet_parts": Case("parts.parquet", parquet_parts, read_source, "a tenth of the limit"),
    "folder_count": Case("folders", folder_count, read_source, "a tenth of the limit"),
    "folder_metadata": Case("described", folder_metadata, read_source),
    "head_bytes": Case("head.npz", head_bytes, read_head),
    "cache_record": Case("space.json", cache_record, read_record),
    "head_summary": Case("heads", head_summary, read_summaries),
    "keras_description": Case("large.keras", keras_description, read_description),
    "onnx_pixels": Case("large.onnx", onnx_pixels, read_network),
}
