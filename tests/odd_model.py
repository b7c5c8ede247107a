"""An odd model: how it is made, how it is asked for, and what becomes of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class OddModel:
    """A network that people might bring.

    name, what: for the table in docs/odd_models.md. make: writes it into a folder; gives the path
    to ask for, or that and the function of its own runtime: pixels (N, H, W, 3) to features.
    said: of the one line with which it is refused; None where its features are its own runtime's.
    remark: of what is said while it is taken. tolerance: largest difference over largest value.
    """

    name: str
    what: str
    make: Callable[[Path], Any]
    layer: str | None = None
    pool: str = "none"
    size: tuple[int, int] | None = None
    preprocessing: str = "none"
    said: str | None = None
    remark: str | None = None
    tolerance: float = 1e-4

    @property
    def options(self) -> str:
        """The options of a command by which it is asked for."""
        size = self.size and "x".join(map(str, self.size))
        pairs = (("layer", self.layer), ("pool", self.pool), ("size", size))
        return " ".join(f"--{name} {value}" for name, value in pairs if value not in (None, "none"))
