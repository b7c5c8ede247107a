"""Where a model of ours lies: its graph in one file, its larger constants in another beside it.

ONNX Runtime maps the constants out of the second file and uses them there. Out of a graph that
holds them it copies each one twice: 2 s of VGG16's half a gigabyte, at each start.
"""

import hashlib
import mmap
from dataclasses import dataclass
from pathlib import Path

from cache.files import file_sha256


def data_file(model: Path) -> Path:
    """Return where the larger constants of a model lie: a file of this name, or none is its own."""
    return model.with_name(f"{model.name}.data")


def size_on_disk(model: Path) -> int:
    """Return the bytes of a model's files that are there."""
    return sum(file.stat().st_size for file in (model, data_file(model)) if file.exists())


@dataclass(frozen=True)
class Digests:
    """The SHA-256 of a model's files; `data` is None for a model that is one file."""

    model: str
    data: str | None

    @property
    def both(self) -> str:
        """One digest of all files: that of a model that is one file."""
        if self.data is None:
            return self.model
        return hashlib.sha256(f"{self.model}{self.data}".encode()).hexdigest()

    def record(self, model: str, data: str) -> dict[str, str]:
        """Return them by the names that a record gives them; one of no data file is left out."""
        return {model: self.model, **({} if self.data is None else {data: self.data})}


def digest_of_all(model: Path) -> str:
    """Return one SHA-256 of a user's file and of all files beside it that its weights lie in.

    Of a file that has at most a data file of ours it is `Digests.both`. OSError where the file
    itself cannot be read.
    """
    own = digests(model)
    others = other_files(model)
    if not others:
        return own.both
    each = "".join(f"{path.name} {file_sha256(path)}\n" for path in others)
    return hashlib.sha256(f"{own.both}\n{each}".encode()).hexdigest()


def other_files(model: Path) -> list[Path]:
    """Return the files beside a user's ONNX file that it names, other than a data file of ours."""
    if model.suffix.lower() != ".onnx" or not _mentions(model, b"location"):
        return []
    # Most files do without these.
    import onnx
    from google.protobuf.message import DecodeError

    from engine.graphs.external import data_names

    try:
        proto = onnx.load(model, format="protobuf", load_external_data=False)
    except (DecodeError, ValueError):  # the export says what is wrong with the file
        return []
    names = data_names(proto) - {data_file(model).name}
    return [path for path in map(model.with_name, sorted(names)) if path.is_file()]


def _mentions(path: Path, word: bytes) -> bool:
    if not path.stat().st_size:  # which cannot be mapped
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        return held.find(word) >= 0


def digests(model: Path) -> Digests:
    """Return the digests of a model's files. OSError where they cannot be read."""
    data = data_file(model)
    return Digests(file_sha256(model), file_sha256(data) if data.exists() else None)
