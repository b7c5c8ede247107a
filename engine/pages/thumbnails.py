"""Small pictures of images, read from their sources again, as data inside the page."""

import base64
import io
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from markupsafe import Markup
from PIL import Image

from cache.failures import Failure
from engine.images.decode import Rejected, decode
from engine.sources.open import Sample, Source, Unreadable, open_source

_log = logging.getLogger(__name__)

# Pixels of a side: the picture is squashed to a square, as most backbones see it.
SIDE = 96

# Of JPEG: some 3 KB a picture.
_QUALITY = 70


def thumbnails(images: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], Markup]:
    """Return the pictures of images, (dataset, path) each, as `data:` addresses.

    One that cannot be had is not in the answer: its source is gone, or a packed archive, which
    would have to be read from its beginning for each.
    """
    wanted: dict[str, set[str]] = defaultdict(set)
    for dataset, path in images:
        wanted[dataset].add(path)
    pictures: dict[tuple[str, str], Markup] = {}
    for dataset, paths in wanted.items():
        pictures.update(_of_dataset(dataset, paths))
    return pictures


def _of_dataset(dataset: str, paths: set[str]) -> dict[tuple[str, str], Markup]:
    try:
        with open_source(dataset) as source:
            return {} if source.sequential else _of_source(dataset, source, paths)
    except (Failure, OSError) as error:
        _log.info("no thumbnails of %s: %s", dataset, error)
        return {}


def _of_source(dataset: str, source: Source, paths: set[str]) -> dict[tuple[str, str], Markup]:
    samples = [sample for sample in source.samples if sample.path in paths]

    def picture(sample: Sample) -> Markup | None:
        try:
            return _address(decode(source.read(sample), (SIDE, SIDE), "bilinear"))
        except (Rejected, Unreadable, OSError):
            return None

    with ThreadPoolExecutor() as pool:
        made = zip(samples, pool.map(picture, samples), strict=True)
        return {(dataset, sample.path): address for sample, address in made if address}


def _address(pixels: np.ndarray) -> Markup:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Markup(f"data:image/jpeg;base64,{data}")  # noqa: S704 - base64 alone
