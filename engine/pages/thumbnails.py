"""Small pictures of images, read from their sources again, as data inside the page."""

import base64
import io
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from markupsafe import Markup
from PIL import Image

from cache.failures import Failure
from engine.images.decode import Rejected, decode_with_remark
from engine.images.framing import SQUASHED
from engine.sources.again import open_images
from engine.sources.open import Sample, Source, Unreadable

_log = logging.getLogger(__name__)

# Pixels of the longer side; the picture keeps its proportions.
SIDE = 96

# Of JPEG: some 3 KB a picture.
_QUALITY = 70


def thumbnails(
    images: Iterable[tuple[str, str]], origins: Mapping[str, Mapping[str, str]]
) -> Mapping[tuple[str, str], Markup]:
    """Return the pictures of images, (dataset, path) each, as `data:` addresses.

    origins: of datasets, see `engine.sources.again.origin_of`; none for those that are not there.
    One that cannot be had, as of a source that is gone, is not in the answer. A packed archive is
    read once from its beginning, for all that are wanted of it.
    """
    wanted: dict[str, set[str]] = defaultdict(set)
    for dataset, path in images:
        wanted[dataset].add(path)
    pictures: dict[tuple[str, str], Markup] = {}
    for dataset, paths in wanted.items():
        pictures.update(_of_dataset(dataset, origins.get(dataset, {}), paths))
    return pictures


def _of_dataset(
    dataset: str, origin: Mapping[str, str], paths: set[str]
) -> dict[tuple[str, str], Markup]:
    try:
        with open_images(dataset, origin) as source:
            samples = [sample for sample in source.samples if sample.path in paths]
            with ThreadPoolExecutor() as pool:
                made = zip(samples, _pictures(source, samples, pool), strict=True)
                return {(dataset, sample.path): address for sample, address in made if address}
    except (Failure, OSError) as error:
        _log.info("no thumbnails of %s: %s", dataset, error)
        return {}


def _pictures(
    source: Source, samples: Sequence[Sample], pool: ThreadPoolExecutor
) -> Iterator[Markup | None]:
    """Return the samples' pictures, in order; None for one that cannot be had."""
    if not source.sequential:
        return pool.map(lambda sample: _picture(_bytes(source, sample)), samples)
    # Read here, by one thread: some two hundred encoded images are no more than a batch.
    return pool.map(_picture, [_bytes(source, sample) for sample in samples])


def _bytes(source: Source, sample: Sample) -> bytes | None:
    try:
        return source.read(sample)
    except (Unreadable, OSError):
        return None


def _picture(data: bytes | None) -> Markup | None:
    """Return a small picture of encoded bytes, in its own proportions."""
    if data is None:
        return None
    try:
        # Of twice the size and square: from that both sides come down, one of them further.
        decoded = decode_with_remark(data, (2 * SIDE, 2 * SIDE), SQUASHED)
    except Rejected:
        return None
    height, width = decoded.picture
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = Image.fromarray(np.ascontiguousarray(decoded.pixels)).resize(size, Image.Resampling.BOX)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY)
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Markup(f"data:image/jpeg;base64,{text}")  # noqa: S704 - base64 alone
