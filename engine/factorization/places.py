"""Positions of a convolution's answers that stand for all, and what it reads there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# Positions of an image that are looked at, at most.
_POSITIONS = 100


def places(count: int) -> np.ndarray:
    """Return up to _POSITIONS of so many positions, evenly spread from the first to the last."""
    if count <= _POSITIONS:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, _POSITIONS).round().astype(int))


@dataclass(frozen=True)
class Window:
    """How a convolution moves over what it reads, in two dimensions.

    size, strides, dilations: down, across. before, after: how many zeros are put around. given:
    the shape of its answers, (H, W).
    """

    size: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]
    given: tuple[int, int]

    @classmethod
    def of(
        cls, attributes: Mapping[str, Any], size: tuple[int, int], read: tuple[int, int]
    ) -> "Window":
        """Return that of a node. size: of its kernel. read: (H, W) of what it reads."""
        strides = _pair(attributes.get("strides", (1, 1)))
        dilations = _pair(attributes.get("dilations", (1, 1)))
        spans = [d * (k - 1) + 1 for d, k in zip(dilations, size, strict=True)]
        automatic = attributes.get("auto_pad", b"NOTSET")
        if automatic in (b"SAME_UPPER", b"SAME_LOWER"):
            sides = [
                max(0, (-(-length // step) - 1) * step + span - length)
                for length, step, span in zip(read, strides, spans, strict=True)
            ]
            less = _pair([side // 2 for side in sides])
            more = _pair([side - side // 2 for side in sides])
            before, after = (less, more) if automatic == b"SAME_UPPER" else (more, less)
        else:
            pads = attributes.get("pads", (0, 0, 0, 0)) if automatic == b"NOTSET" else (0,) * 4
            before, after = _pair(pads[:2]), _pair(pads[2:])
        given = [
            (length + b + a - span) // step + 1
            for length, b, a, span, step in zip(read, before, after, spans, strides, strict=True)
        ]
        return cls(size, strides, dilations, before, after, _pair(given))


def _pair(values: Any) -> tuple[int, int]:
    down, across = values
    return int(down), int(across)


def columns_at(
    window: Window, read: np.ndarray, at: np.ndarray, which: slice = slice(None)
) -> np.ndarray:
    """Return what a convolution reads at some positions, column by column.

    read: float32 (I, H, W). at: positions in its answers, row by row. which: of its columns.
    Returns: float32 (positions, KW, I KH).
    """
    (top, left), (bottom, right) = window.before, window.after
    padded = np.pad(read, ((0, 0), (top, bottom), (left, right)))
    rows, places_across = np.divmod(at, window.given[1])
    down = rows[:, None] * window.strides[0] + np.arange(window.size[0]) * window.dilations[0]
    across = places_across[:, None] * window.strides[1]
    across = across + np.arange(window.size[1])[which] * window.dilations[1]
    patches = padded[:, down[:, None, :], across[:, :, None]]  # (I, positions, KW, KH)
    return np.ascontiguousarray(patches.transpose(1, 2, 0, 3)).reshape(*across.shape, -1)
