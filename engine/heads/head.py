"""The head: a softmax layer over features, and the file that it is kept in."""

import errno
import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cache.failures import Failure, first_line
from cache.files import write_whole
from engine.heads.softmax import log_softmax

FILE_NAME = "head.npz"

_VERSION = 1

# A head of 1,000 classes on 25,088 features has 100 MB.
_MAX_BYTES = 2**30

# What NumPy's format 1.0 writes in front of an array: magic, length of the text, the text.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(..){'descr': '([^']{1,9})', 'fortran_order': False, "
    rb"'shape': \(([0-9]{1,18}),(?: ([0-9]{1,18}))?\), } *\n",
    re.DOTALL,
)


@dataclass(frozen=True)
class Head:
    """A trained softmax layer, and all that is needed to feed it.

    weights: float32 (D, C). biases: float32 (C,). classes: C distinct labels.
    space: id of the feature space that it was trained in; no other features fit it.
    description: that space's description: which backbone, cut where, fed how.
    notes: facts that the cache keeps about the space, such as the parity of int8.
    """

    weights: np.ndarray
    biases: np.ndarray
    classes: tuple[str, ...]
    space: str
    description: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def trainable_parameters(self) -> int:
        """How many numbers were trained: D * C + C."""
        return self.weights.size + self.biases.size

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return float32 (N, C) for features float32 (N, D)."""
        return np.asarray(features @ self.weights + self.biases)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return float32 (N, C), rows that sum to one, for features float32 (N, D)."""
        return np.asarray(np.exp(log_softmax(self.logits(features))), np.float32)

    def file_bytes(self) -> bytes:
        """Return the bytes of the head's file: the same for the same head."""
        record = {
            "version": _VERSION,
            "classes": self.classes,
            "space": self.space,
            "description": self.description,
            "notes": self.notes,
        }
        buffer = io.BytesIO()
        np.savez(
            buffer,
            weights=self.weights.astype("<f4"),
            biases=self.biases.astype("<f4"),
            record=np.frombuffer(json.dumps(record, sort_keys=True).encode("ascii"), np.uint8),
        )
        return buffer.getvalue()

    def save(self, path: Path) -> None:
        """Write the head to a file, whole or not at all. OSError if it could not be written."""
        write_whole(path, self.file_bytes())


def load_head(path: str | Path) -> Head:
    """Read a head from its file, or from the folder that `fit_head` wrote.

    The file may be a stranger's: nothing in it is executed, and no more memory is used than it
    is large.

    Raises:
        Failure: there is no head, it is damaged, or a newer release wrote it.
    """
    file = Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise Failure(
            f"there is no head at {path}; train one: python -m engine.fit_head --cache DIR"
        )
    try:
        with zipfile.ZipFile(file) as archive:
            weights = _array(archive, "weights", "<f4", 2)
            biases = _array(archive, "biases", "<f4", 1)
            record = json.loads(_array(archive, "record", "|u1", 1).tobytes())
        return _head(weights, biases, record)
    except (ValueError, KeyError, TypeError, RecursionError, NotImplementedError) as error:
        raise Failure(f"{file} is not a head, or is damaged: {first_line(error)}") from error
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise Failure(f"{file} is not a head, or is damaged: {first_line(error)}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # Its directory points to a place before its beginning.
        raise Failure(f"{file} is not a head, or is damaged: {first_line(error)}") from error


def _array(archive: zipfile.ZipFile, name: str, dtype: str, rank: int) -> np.ndarray:
    """Return an array of an .npz file after checking it. ValueError if it is not as expected.

    NumPy's own reader evaluates a header and allocates what it asks for; here the header must be
    one that `file_bytes` writes and agree with the bytes that are there, uncompressed.
    """
    entry = archive.getinfo(f"{name}.npy")
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > _MAX_BYTES:
        raise ValueError(f"{name} is compressed or too large")
    data = archive.read(entry)
    header = _HEADER.match(data)
    if header is None or 10 + int.from_bytes(header[1], "little") != header.end():
        raise ValueError(f"{name} does not begin as NumPy arrays of a head do")
    shape = tuple(int(length) for length in header.group(3, 4) if length)
    values = np.frombuffer(data, np.uint8, offset=header.end())
    expected = np.dtype(dtype)
    if header[2] != dtype.encode() or len(shape) != rank or min(shape) < 1:
        raise ValueError(f"{name} has another type or shape")
    # Python's integers: NumPy's would overflow for a hostile shape.
    size = expected.itemsize
    for length in shape:
        size *= length
    if size != len(values):
        raise ValueError(f"{name} is not as large as it says")
    return values.view(expected).reshape(shape)


def _head(weights: np.ndarray, biases: np.ndarray, record: Any) -> Head:
    if not isinstance(record, dict) or not isinstance(record.get("version"), int):
        raise ValueError("it has no version")
    if record["version"] > _VERSION:
        raise Failure(
            f"the head has format version {record['version']}, this release reads up to "
            f"{_VERSION}; update onceover"
        )
    classes, space = record["classes"], record["space"]
    if not isinstance(classes, list) or not all(isinstance(label, str) for label in classes):
        raise ValueError("its classes are not texts")
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise ValueError("its classes are fewer than two or not distinct")
    if weights.shape[1:] != (len(classes),) or biases.shape != (len(classes),):
        raise ValueError("its weights do not fit its classes")
    if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
        raise ValueError("its weights are not finite")
    description, notes = record["description"], record["notes"]
    if not isinstance(space, str) or not all(isinstance(d, dict) for d in (description, notes)):
        raise ValueError("its feature space is not described")
    return Head(weights, biases, tuple(classes), space, description, notes)
