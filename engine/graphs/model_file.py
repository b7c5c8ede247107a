"""Where a model of ours lies: its graph in one file, its larger constants in another beside it.

ONNX Runtime maps the constants out of the second file and uses them there. Out of a graph that
holds them it copies each one twice: 2 s of VGG16's half a gigabyte, at each start.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cache.files import file_sha256


def data_file(model: Path) -> Path:
    """Return where the larger constants of a model lie: a file of this name, or none is its own."""
    return model.with_name(f"{model.name}.data")


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


def digests(model: Path) -> Digests:
    """Return the digests of a model's files. OSError where they cannot be read."""
    data = data_file(model)
    return Digests(file_sha256(model), file_sha256(data) if data.exists() else None)
