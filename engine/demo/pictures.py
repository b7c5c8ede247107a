"""Pictures for trying the machinery: stripes and discs, drawn from a seed.

Both kinds draw their colours, their scale and their share of the second colour from the same
distributions, so that the mean colour says nothing of the kind; only the shapes do. All of it is
whole-number arithmetic on Python's own generator: the pixels are the same on every platform.
"""

import random
from pathlib import Path

import numpy as np
from PIL import Image

KINDS = ("discs", "stripes")

SIDE = 128

# Normals of stripes, (x, y, length): whole numbers, so that no cosine differs between platforms.
_NORMALS = ((1, 0, 1), (0, 1, 1), (3, 4, 5), (4, 3, 5), (-3, 4, 5), (-4, 3, 5))

# What each pixel's channels vary by, up and down.
_GRAIN = 12

_ROWS, _COLUMNS = np.mgrid[0:SIDE, 0:SIDE]


def write_pictures(folder: Path, count: int, seed: int = 0) -> None:
    """Draw `count` pictures, the kinds in turn, as `KIND/NUMBER.png` in a new or empty folder."""
    for kind in KINDS:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        Image.fromarray(picture(kind, number, seed)).save(folder / kind / f"{number:04}.png")


def picture(kind: str, number: int, seed: int = 0) -> np.ndarray:
    """Return a picture of one of KINDS, uint8 (SIDE, SIDE, 3) RGB: the same for the same input."""
    chance = random.Random(f"{seed} {kind} {number}")  # noqa: S311 - a picture, not a secret
    ground, ink = _colours(chance)
    share = chance.randint(30, 50)
    scale = chance.randint(5, 9)
    drawn = _stripes(chance, scale, share) if kind == "stripes" else _discs(chance, scale, share)
    pixels = np.where(drawn[..., None], ink, ground)
    grain = np.frombuffer(chance.randbytes(pixels.size), np.uint8).reshape(pixels.shape)
    return (pixels + grain % (2 * _GRAIN + 1) - _GRAIN).astype(np.uint8)


def _colours(chance: random.Random) -> tuple[np.ndarray, np.ndarray]:
    """Return a dark colour and the same made lighter; which of them is the ground is chance."""
    dark = np.array([chance.randint(32, 96) for _ in range(3)])
    pair = (dark, dark + 128)
    return pair if chance.random() < 0.5 else pair[::-1]


def _stripes(chance: random.Random, scale: int, share: int) -> np.ndarray:
    """Return where parallel stripes are, bool (SIDE, SIDE); twice `scale` apart."""
    x, y, length = chance.choice(_NORMALS)
    period = 200 * scale * length
    along = 100 * (x * _COLUMNS + y * _ROWS) + chance.randrange(period)
    return np.asarray(along % period < period * share // 100)


def _discs(chance: random.Random, scale: int, share: int) -> np.ndarray:
    """Return where discs are, bool (SIDE, SIDE): as many as cover `share` percent."""
    drawn = np.zeros((SIDE, SIDE), bool)
    while 100 * np.count_nonzero(drawn) < share * drawn.size:
        x, y = chance.randrange(SIDE), chance.randrange(SIDE)
        drawn |= (_COLUMNS - x) ** 2 + (_ROWS - y) ** 2 < scale**2
    return drawn
