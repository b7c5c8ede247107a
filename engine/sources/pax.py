"""The attributes of a tar's pax headers, looked at before `tarfile` parses them.

Its regular expressions go over a run of digits once for each digit (Python before 3.11.10,
CVE-2024-6232): 100 KB of them took 10 s. So a body is held to its grammar first (POSIX.1-2017,
pax, "Extended Header"): records of `LENGTH KEYWORD=VALUE`, a line feed and nothing between them.
"""

import re

# Digits in a row, anywhere in a body: times have about 20, device numbers fewer.
MAX_DIGITS = 100

_RECORD = re.compile(rb"([1-9][0-9]{0,8}) [^=\n\0]{1,1000}=")
_DIGITS_AS_ONES = bytes(0x31 if chr(byte).isdigit() and byte < 128 else 0 for byte in range(256))


def fault_of(body: bytes) -> str:
    """Return what is wrong with the body of a pax header, in a few words; empty for nothing."""
    if b"1" * (MAX_DIGITS + 1) in body.translate(_DIGITS_AS_ONES):
        return f"an attribute with more than {MAX_DIGITS} digits in a row"
    position = 0
    while position < len(body) and body[position]:  # zeros fill the last block
        record = _RECORD.match(body, position)
        if record is None:
            return "malformed attributes"
        position += int(record[1])
        if position < record.end() + 1 or body[position - 1 : position] != b"\n":
            return "malformed attributes"
    return ""
