"""An ONNX file without its larger constants, or with the places where they lie in it.

ONNX Runtime maps what it is told the place of, and uses it there. From a whole file it parses
everything and copies each constant twice: 1 s of VGG16's half a gigabyte, at each start.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from engine.graphs.wire_format import (
    LENGTH_DELIMITED,
    VARINT,
    delimited,
    read_field,
    read_varint,
    varint,
)

# Field numbers of onnx.proto, as numbers, for `onnx` takes long to import: ModelProto.graph,
# GraphProto.initializer, four of TensorProto's, and those of StringStringEntryProto.
GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9
_DATA_TYPE, _EXTERNAL_DATA, _DATA_LOCATION = 2, 13, 14
_KEY, _VALUE = 1, 2

# TensorProto.DataLocation.EXTERNAL
_EXTERNAL = 1

# Bytes of a value, by TensorProto.DataType: float, uint8, int8, int32, int64.
_SIZES: Mapping[int, int] = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8}

# Bytes of a constant from which on it is left out.
_LARGE = 4096

_Reader = Callable[[BinaryIO, int], bytes]


def bare_model(path: Path, *, located: bool) -> bytes:
    """Return an ONNX file's bytes without those of its larger constants.

    located: whether they are named as external data, of the file itself; otherwise they are simply
        missing. One whose place is no multiple of its values' size stays in then.

    Raises:
        ValueError: the file is not in the encoding of protocol buffers.
    """

    def tensor(file: BinaryIO, end: int) -> bytes:
        return _bare_tensor(file, end, path.name if located else None)

    def graph(file: BinaryIO, end: int) -> bytes:
        return _message(file, end, {INITIALIZER: tensor})

    with path.open("rb") as file:
        return _message(file, path.stat().st_size, {GRAPH: graph})


def _message(file: BinaryIO, end: int, inner: Mapping[int, _Reader]) -> bytes:
    """Return a message that ends at `end`; the fields of `inner` as those readers return them."""
    parts = []
    while (start := file.tell()) < end:
        field, wire, stop = read_field(file, end)
        if wire == LENGTH_DELIMITED and field in inner:
            parts.append(delimited(field, inner[field](file, stop)))
        else:
            parts.append(_between(file, start, stop))
    return b"".join(parts)


def _bare_tensor(file: BinaryIO, end: int, name: str | None) -> bytes:
    """Return a TensorProto without larger raw data; a file's name says where that is instead."""
    parts, size = [], 0
    data: tuple[int, int] | None = None
    while (start := file.tell()) < end:
        field, wire, stop = read_field(file, end)
        content = file.tell()
        if field == RAW_DATA and wire == LENGTH_DELIMITED and stop - content >= _LARGE:
            data = content, stop - content
            file.seek(stop)
            continue
        if field == _DATA_TYPE and wire == VARINT:
            size = _SIZES.get(read_varint(file), 0)
        parts.append(_between(file, start, stop))
    if data is not None and name is not None:
        offset, length = data
        if size and offset % size == 0:
            parts.append(_location(name, offset, length))
        else:
            parts.append(delimited(RAW_DATA, _between(file, offset, offset + length)))
            file.seek(end)
    return b"".join(parts)


def _location(name: str, offset: int, length: int) -> bytes:
    """Return the fields of a TensorProto that say where its data is."""
    places = {"location": name, "offset": str(offset), "length": str(length)}
    entries = (
        delimited(_KEY, key.encode()) + delimited(_VALUE, value.encode())
        for key, value in places.items()
    )
    told = b"".join(delimited(_EXTERNAL_DATA, entry) for entry in entries)
    return told + varint(_DATA_LOCATION << 3 | VARINT) + varint(_EXTERNAL)


def _between(file: BinaryIO, start: int, stop: int) -> bytes:
    file.seek(start)
    return file.read(stop - start)
