"""Images that a head may be judged by: those it was trained and tested on, or a source's."""

import contextlib
import csv
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cache.commandline.printable import printable
from cache.failures import Failure
from cache.files import read_bounded
from engine.heads.files import METRICS, PREDICTIONS, read_metrics
from engine.precision.calibration_set import CALIBRATION, HELD_OUT
from engine.sources.again import open_images
from engine.sources.dialect import MAX_TABLE_BYTES
from engine.sources.open import Sample, Source, open_source
from engine.sources.order import interleave

_log = logging.getLogger(__name__)

# Images that are asked about at most: the interval of a share is then two points wide or less.
_MOST = 1000

# Of a source that is all there is, so many calibrate: half of it at most.
_CALIBRATING = max(CALIBRATION.values()) + HELD_OUT


@dataclass(frozen=True)
class JudgedImages:
    """Images of one source. labels: by path; a path without one has no label that a head knows.

    calibrating: samples that a model may be made by. asked: others, that a head is asked about.
    Both in the order of the source.
    """

    source: Source
    labels: Mapping[str, str]
    calibrating: Sequence[Sample]
    asked: Sequence[Sample]


@contextlib.contextmanager
def images_of_source(location: str | Path, classes: Sequence[str]) -> Iterator[JudgedImages]:
    """Open a source of images like those of a head.

    A seeded, class-balanced choice is asked about, and others calibrate.

    Raises:
        Failure: see `open_source`.
    """
    with open_source(location) as source:
        order = interleave(sorted(source.samples, key=lambda sample: sample.path), 0)
        count = min(_CALIBRATING, len(order) // 2)
        known = set(classes)
        yield JudgedImages(
            source,
            {sample.path: sample.label for sample in order if sample.label in known},
            _in_order(source, order[:count]),
            _in_order(source, order[count : count + _MOST]),
        )


@contextlib.contextmanager
def images_of_head(folder: Path) -> Iterator[Sequence[JudgedImages]]:
    """Open the sources that a head was trained on, as far as they are still there.

    Its training images calibrate, and it is asked about those that it was tested on.
    folder: where `fit_head` wrote the head.
    """
    with contextlib.ExitStack() as stack:
        sides = _sides(folder)
        opened = []
        for name, origin in _datasets(folder).items() if sides else ():
            try:
                source = stack.enter_context(open_images(name, origin))
            except Failure as failure:
                _log.info("images of the head are not at hand: %s", failure)
                continue
            opened.append(_judged(source, sides))
        yield [images for images in opened if images.asked or images.calibrating]


def _judged(source: Source, sides: Mapping[str, tuple[str, str]]) -> JudgedImages:
    there = [sample for sample in source.samples if sample.path in sides]
    train = [sample for sample in there if sides[sample.path][0] == "train"]
    test = [
        Sample(sample.path, sides[sample.path][1])
        for sample in there
        if sides[sample.path][0] == "test"
    ]
    chosen = interleave(sorted(test, key=lambda sample: sample.path), 0)[:_MOST]
    labels = {sample.path: label for sample in chosen if (label := sample.label)}
    return JudgedImages(source, labels, train, _in_order(source, chosen))


def _in_order(source: Source, chosen: Sequence[Sample]) -> list[Sample]:
    """Return the source's samples of the paths of `chosen`, in the order that it is read in."""
    paths = {sample.path for sample in chosen}
    return [sample for sample in source.samples if sample.path in paths]


def _sides(folder: Path) -> dict[str, tuple[str, str]]:
    """Return (side, label) by path, as the head's predictions say; empty where there are none."""
    try:
        data = read_bounded(folder / PREDICTIONS, MAX_TABLE_BYTES).decode("utf-8")
        rows = list(csv.DictReader(io.StringIO(data, newline="")))
        return {row["path"]: (row["side"], row["label"]) for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError) as error:
        _log.info("%s does not say which images the head saw: %s", printable(str(folder)), error)
        return {}


def _datasets(folder: Path) -> dict[str, dict[str, str]]:
    """Return the origins of a head's datasets, see `engine.sources.again`, by name."""
    record = read_metrics(folder)
    try:
        names = [name for name in record["choices"]["datasets"] if isinstance(name, str)]
        origins = record.get("origins", {})  # which earlier releases did not write
        return {
            name: {k: v for k, v in origins.get(name, {}).items() if isinstance(v, str)}
            for name in names
        }
    except (AttributeError, KeyError, TypeError) as error:
        _log.info("%s does not say what the head was trained on: %s", folder / METRICS, error)
        return {}
