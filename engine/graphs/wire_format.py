"""The encoding of protocol buffers, as far as it takes to find or to write a field of an ONNX file.

https://protobuf.dev/programming-guides/encoding/: a message is fields end to end, in any order;
a field is a tag (number << 3 | wire type) and a value.
"""

from typing import BinaryIO

VARINT, LENGTH_DELIMITED = 0, 2

# Bytes of the wire types that have a fixed size.
_FIXED = {1: 8, 5: 4}


def varint(value: int) -> bytes:
    """Return a number's encoding."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def delimited_start(field: int, length: int) -> bytes:
    """Return how a field with `length` bytes of content begins."""
    return varint(field << 3 | LENGTH_DELIMITED) + varint(length)


def delimited(field: int, content: bytes) -> bytes:
    """Return a field whose content is a string or a message."""
    return delimited_start(field, len(content)) + content


def read_varint(file: BinaryIO) -> int:
    """Read a number. Raises ValueError if there is none."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("the file ends in a field")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("a number has more than 64 bits")


def read_field(file: BinaryIO, end: int) -> tuple[int, int, int]:
    """Read the beginning of a field, up to its content; return its number, wire type and end.

    end: where the message ends. Raises ValueError if no field can begin here.
    """
    tag = read_varint(file)
    field, wire = tag >> 3, tag & 7
    content = file.tell()
    if wire == VARINT:
        read_varint(file)
        stop = file.tell()
        file.seek(content)
    elif wire == LENGTH_DELIMITED:
        length = read_varint(file)
        stop = file.tell() + length
    elif wire in _FIXED:
        stop = content + _FIXED[wire]
    else:
        raise ValueError(f"there is no wire type {wire}")
    if stop > end:
        raise ValueError("a field is longer than what it is in")
    return field, wire, stop
