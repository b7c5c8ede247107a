"""What people give as images in Python, as a list of items."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cache.commandline.printable import printable
from cache.files import home_path
from engine.sources.memory import Item

_KINDS = "paths, bytes, PIL images or uint8 arrays (H, W, 3)"


def items_of(images: Any) -> list[Item]:
    """Return images as a list of items.

    images: a list, tuple or other iterable of paths, bytes, PIL images or arrays, uint8 (H, W, 3)
        RGB; an array of paths, (N,) or (N, 1); pixels, uint8 (N, H, W, 3); a pandas Series, or a
        DataFrame of one column.

    Raises:
        TypeError: something is no image, or one image stands where several are to.
        ValueError: an array has another shape.
    """
    if isinstance(images, str | Path):
        raise TypeError(f"{_one_path(images)}; a folder, archive or table is for extract")
    if isinstance(images, bytes | Image.Image):
        raise TypeError(f"one {type(images).__name__} is no list of images; put it in a list")
    if hasattr(images, "to_numpy"):  # pandas, polars
        images = images.to_numpy()
    if isinstance(images, np.ndarray):
        if images.dtype == np.uint8 and images.ndim == 3:
            raise ValueError(f"{images.shape} is one array of pixels; put it in a list")
        if images.dtype.kind in "OUS" and images.ndim == 2 and images.shape[1] == 1:
            images = images[:, 0]
        if images.ndim != (4 if images.dtype == np.uint8 else 1):
            raise ValueError(
                f"{images.dtype} {images.shape}: give paths (N,) or (N, 1), or uint8 (N, H, W, 3)"
            )
    if not isinstance(images, Iterable):
        raise TypeError(f"{type(images).__name__} is no list of {_KINDS}")
    return [_item(image) for image in images]


def _one_path(path: str | Path) -> str:
    """Return what is wrong with a path where a list of images is to be."""
    if os.path.isdir(home_path(path)):  # noqa: PTH112 - False for a name that is too long
        return f"{printable(str(path))} is a folder, no list of images; list its files"
    return f"one {type(path).__name__} is no list of images; put it in a list"


def _item(image: Any) -> Item:
    if isinstance(image, np.str_ | np.bytes_):
        image = image.item()
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f"{image.dtype} {image.shape} is not uint8 (H, W, 3)")
        return image
    if isinstance(image, str | Path | bytes | Image.Image):
        return image
    raise TypeError(f"{type(image).__name__} is no image; give {_KINDS}")
