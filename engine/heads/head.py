"""The head: a softmax layer over features, and the file that it is kept in."""

import errno
import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cache.commandline.printable import printable
from cache.commandline.words import counted
from cache.failures import Failure, first_line
from cache.files import write_whole
from cache.notes import TITLE_NOTE, title_of
from engine.heads.softmax import log_softmax

FILE_NAME = "head.npz"

_VERSION = 1

# A head of 1,000 classes on 25,088 features has 100 MB.
_MAX_BYTES = 2**30

# Heads of a cache that a message names, and classes of a head.
_NAMED = 5

# What NumPy's format 1.0 writes in front of an array of a head, filled up with spaces.
_HEADER_BYTES = 128


def named_classes(classes: Sequence[str]) -> str:
    """Return how many classes there are and the names of the first few, in a line."""
    named = ", ".join(printable(label, 40) for label in classes[:_NAMED])
    more = f" and {len(classes) - _NAMED:,} more" if len(classes) > _NAMED else ""
    return f"{counted(len(classes), 'class', 'classes')}: {named}{more}"


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        """Say in a line what it is: what its features are of, and its classes."""
        return f"Head({self.title}, {named_classes(self.classes)})"

    @property
    def title(self) -> str:
        """What its features are of, in a few words: a backbone, its layer, its precision."""
        shown = self.notes.get(TITLE_NOTE)
        names = {**self.description, **(shown if isinstance(shown, dict) else {})}
        return printable(title_of(names))

    @property
    def trainable_parameters(self) -> int:
        """How many numbers were trained: D * C + C."""
        return self.weights.size + self.biases.size

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return float32 (N, C) for features float32 (N, D).

        The sum for an image is taken in one order, whatever the others in its batch: BLAS, which
        has other kernels for other numbers of rows, does not promise that.
        """
        products = np.einsum("nd,cd->nc", np.ascontiguousarray(features), self._columns)
        return np.asarray(products + self.biases)

    @cached_property
    def _columns(self) -> np.ndarray:
        """The weights class by class, float32 (C, D)."""
        return np.ascontiguousarray(self.weights.T)

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
        raise Failure(_where_heads_are(Path(path)))
    try:
        size = file.stat().st_size
        if size > _MAX_BYTES:
            raise ValueError(f"it has over {_MAX_BYTES:,} bytes")
        with zipfile.ZipFile(file) as archive:
            record = json.loads(_array(archive, "record", "|u1", size).tobytes())
            biases = _array(archive, "biases", "<f4", size)
            weights = _array(archive, "weights", "<f4", size, len(biases))
        return _head(weights, biases, record)
    except (ValueError, LookupError, TypeError, RecursionError, NotImplementedError) as error:
        raise Failure(f"{file} is not a head, or is damaged: {first_line(error)}") from error
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise Failure(f"{file} is not a head, or is damaged: {first_line(error)}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # Its directory points to a place before its beginning.
        raise Failure(f"{file} is not a head, or is damaged: {first_line(error)}") from error


def _where_heads_are(path: Path) -> str:
    """Return one line on a path that is no head: of a cache, which heads it has."""
    shown = printable(str(path))
    heads = sorted(file.parent for file in (path / "heads").glob(f"*/{FILE_NAME}"))
    if heads:
        named = ", ".join(printable(str(head)) for head in heads[:_NAMED])
        more = f" and {len(heads) - _NAMED} more" if len(heads) > _NAMED else ""
        return f"{shown} is a cache and no head; its heads are {named}{more}"
    if (path / "spaces").is_dir():
        return f"{shown} is a cache, which has no head yet; train one on its features"
    return f"there is no head at {shown}; train one on the features of a cache"


def _array(
    archive: zipfile.ZipFile, name: str, dtype: str, size: int, columns: int | None = None
) -> np.ndarray:
    """Return an array of an .npz file. ValueError if it is not as expected.

    NumPy evaluates a header and allocates what it asks for. So the header must be, byte for byte,
    the one that NumPy writes for as many values as are there, uncompressed.

    size: of the whole file. columns: of an array of rows; None for one of single values.
    """
    entry = archive.getinfo(f"{name}.npy")
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > size:
        raise ValueError(f"{name} is compressed, or larger than the file")
    rows = (entry.file_size - _HEADER_BYTES) // np.dtype(dtype).itemsize // (columns or 1)
    shape = (rows, columns) if columns else (rows,)
    if rows < 1 or entry.file_size != _HEADER_BYTES + np.dtype(dtype).itemsize * math.prod(shape):
        raise ValueError(f"{name} has another shape")
    with archive.open(entry) as stream:
        if stream.read(_HEADER_BYTES) != _header(dtype, shape):
            raise ValueError(f"{name} does not begin as an array of that type and shape")
    with archive.open(entry) as stream:
        values = np.load(stream, allow_pickle=False)
        stream.read()  # to the end, where the zip's checksum is compared
        return np.asarray(values)


def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """Return what NumPy writes in front of an array."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


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
