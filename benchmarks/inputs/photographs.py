"""Images to measure with: drawn ones, a source's usable ones, and more of them by repetition."""

import hashlib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cache.failures import Failure
from cache.files import publish, temporary
from engine.graphs.session import available_cores
from engine.heads.split import Split, SplitOptions, split
from engine.images.decode import Rejected, decode
from engine.images.formats import HEAD_BYTES, image_format
from engine.sources.open import Sample, Source, Unreadable, open_source
from engine.sources.order import interleave

# Marker of a comment in a JPEG (ITU-T T.81, table B.1).
_COMMENT = b"\xff\xfe"


@dataclass(frozen=True)
class Usable:
    """The distinct labelled images of a source that decode, in the order of their digests.

    The order of `engine.heads.features`, so that the same seed splits both alike.
    labels: int64 (N,), indices into `classes`.
    """

    source: Source
    samples: tuple[Sample, ...]
    labels: np.ndarray
    classes: tuple[str, ...]

    def split(self, seed: int) -> Split:
        """Return the split that `fit_head` makes of the same images."""
        return split(self.labels, SplitOptions(seed=seed))


def usable(source: Source, count: int | None = None) -> Usable:
    """Read and decode every image of a source once, and keep what an extraction would.

    count: of how many samples, balanced over the classes; None for all.

    Raises:
        Failure: it has fewer than two classes.
    """
    labelled = [sample for sample in source.samples if sample.label is not None]
    labelled = interleave(labelled, 0)[:count]
    with ThreadPoolExecutor(available_cores()) as pool:
        digests = list(pool.map(lambda sample: _digest(source, sample), labelled))
    found = {digest: sample for digest, sample in zip(digests, labelled, strict=True) if digest}
    samples = [found[digest] for digest in sorted(found)]
    classes = sorted({str(sample.label) for sample in samples})
    if len(classes) < 2:
        raise Failure(f"{source.location.name} has {len(classes)} classes; give one with two")
    codes = {label: code for code, label in enumerate(classes)}
    labels = np.array([codes[str(sample.label)] for sample in samples], np.int64)
    return Usable(source, tuple(samples), labels, tuple(classes))


def _digest(source: Source, sample: Sample) -> bytes | None:
    """Return the SHA-256 of an image's bytes, or None if it gives no pixels."""
    try:
        data = source.read(sample)
        decode(data, (32, 32), "nearest")
    except (Unreadable, Rejected):
        return None
    return hashlib.sha256(data).digest()


def draw(folder: Path, count: int, size: tuple[int, int] = (375, 500), seed: int = 0) -> Path:
    """Draw `count` JPEGs of size (height, width) of two classes, stripes and spots; return folder.

    They are about as large on disk as photographs of that size, and easy to tell apart.
    """
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[0 : size[0], 0 : size[1]] / 100
    for number in range(count):
        label = ("spots", "stripes")[number % 2]
        (folder / label).mkdir(parents=True, exist_ok=True)
        period, phase = rng.uniform(4, 9), rng.uniform(0, 6)
        wave = np.sin(xx * period + phase)
        if label == "spots":
            wave = wave * np.sin(yy * period + phase)
        noise = rng.normal(0, 12, (*size, 1))
        pixels = np.clip(127 + 90 * wave[..., None] + noise, 0, 255).astype(np.uint8)
        image = Image.fromarray(np.repeat(pixels, 3, axis=2))
        image.save(folder / label / f"{number}.jpg", quality=85)
    return folder


def repeated(source: Path, count: int, out: Path) -> Path:
    """Write a stored zip of `count` distinct JPEGs, balanced over the classes; return its path.

    The source's own come first; then they come again with a JPEG comment of their number, which
    changes their bytes and so their digest, but no pixel: each is real work to read, hash, decode
    and run.
    """
    if out.exists():
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    # One image in memory at a time: a source may be large.
    with (
        open_source(source) as images,
        temporary(out.parent) as unfinished,
        zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive,
    ):
        chosen = [
            sample
            for sample in interleave(usable(images).samples, 0)
            if image_format(images.read(sample)[:HEAD_BYTES]) == "JPEG"
        ]
        for number in range(count):
            copy, position = divmod(number, len(chosen))
            sample = chosen[position]
            data = images.read(sample)
            name = f"{sample.label}/{number}.jpg"
            archive.writestr(name, _commented(data, copy) if copy else data)
        archive.close()
        publish(unfinished, out)
    return out


def _commented(jpeg: bytes, number: int) -> bytes:
    """Return a JPEG with a comment of a number behind its first marker."""
    text = str(number).encode("ascii")
    comment = _COMMENT + (len(text) + 2).to_bytes(2, "big") + text
    return jpeg[:2] + comment + jpeg[2:]


def unpack(source: Path, folder: Path) -> Path:
    """Write a source's images into a folder with a sub-folder for each class; return the folder.

    Damaged ones too; labels and names are the source's, so give a source that you trust.
    """
    if folder.exists():
        return folder
    unfinished = folder.with_name(f"{folder.name}-unfinished")
    with open_source(source) as images:
        for number, sample in enumerate(images.samples):
            place = unfinished / str(sample.label)
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}{Path(sample.path).suffix}").write_bytes(images.read(sample))
    unfinished.rename(folder)
    return folder
