"""The product as benchmarks use it: its commands as whole processes, and what they leave behind.

The one place where its commands are called, its caches read and its images decoded for all of them.
"""

import argparse
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inputs.photographs import draw
from benchmarks.measuring.process import Run, python, run
from cache.failures import Failure
from cache.store import FeatureCache
from engine.heads.l2_path import fit_regularised
from engine.heads.open_features import open_features
from engine.heads.rows import LoadedRows
from engine.heads.split import SIDES, SplitOptions, split
from engine.images.decode import Rejected, decode
from engine.precision.calibration_set import CALIBRATION
from engine.sources.open import open_source
from engine.sources.order import interleave

PRECISIONS = ("fp32", "int8")

# Images that models are made by where several precisions are to have the same.
CALIBRATED = max(CALIBRATION.values())


@dataclass(frozen=True)
class CachedFeatures:
    """What a cache holds of its datasets, in the order of digests.

    features: float32 (N, D). labels: int64 (N,), indices into `classes`. space: its id.
    """

    features: np.ndarray
    labels: np.ndarray
    classes: Sequence[str]
    space: str

    def sides(self, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return features and labels of train, validation and test, split as `fit_head` does."""
        parts = split(self.labels, SplitOptions(seed=seed))
        return [(self.features[part], self.labels[part]) for part in map(parts.side, SIDES)]


def cached_features(cache: Path | str, *datasets: str) -> CachedFeatures:
    """Return the features of the only space of a cache that has datasets; of some datasets only."""
    space = FeatureCache.open(cache).space()
    held = open_features(space, list(datasets) or None).labelled()
    return CachedFeatures(held.X, held.y, held.classes, space.path.name)


def emptied(cache: Path) -> None:
    """Take the features out of a cache and leave its models."""
    for space in FeatureCache.open(cache).spaces():
        for name in ("parts", "datasets"):
            shutil.rmtree(space.path / name, ignore_errors=True)
            (space.path / name).mkdir()
        (space.path / "known.h5").unlink(missing_ok=True)


def head_accuracy(held: CachedFeatures, seed: int) -> float:
    """Return the test accuracy of a head by the split of a seed, as `fit_head` trains it."""
    train, validation, (features, labels) = held.sides(seed)
    head = fit_regularised(LoadedRows(*train), LoadedRows(*validation), len(held.classes))
    answers = (features @ head.weights + head.biases).argmax(axis=1)
    return float((answers == labels).mean())


def pixels_of(location: str, count: int, size: tuple[int, int]) -> np.ndarray:
    """Return the first images of a source that decode, balanced over its classes.

    Returns: uint8 (N, H, W, 3), at most `count` of them.
    """
    pixels: list[np.ndarray] = []
    with open_source(location) as source:
        for sample in interleave(source.samples, 0):
            if len(pixels) == count:
                break
            try:
                pixels.append(decode(source.read(sample), size, "bilinear"))
            except Rejected:
                continue
    return np.stack(pixels)


@dataclass(frozen=True)
class DrawnPixels:
    """Pixels of a source, uint8 (N, H, W, 3): to calibrate on, and others with their labels."""

    calibration: np.ndarray
    pixels: np.ndarray
    labels: np.ndarray


def labelled_pixels(location: str, count: int, size: tuple[int, int]) -> DrawnPixels:
    """Return images to calibrate on and up to `count` others, balanced over a source's classes."""
    found: dict[bytes, tuple[np.ndarray, str]] = {}
    with open_source(location) as source:
        for sample in interleave(source.samples, 0):
            if len(found) == CALIBRATED + count:
                break
            read = source.read(sample)
            try:
                found[sha256(read).digest()] = decode(read, size, "bilinear"), str(sample.label)
            except Rejected:
                continue
    pixels = np.stack([each for each, _ in found.values()])
    labels = np.array([label for _, label in found.values()])
    calibrated = min(CALIBRATED, len(pixels) // 2)
    return DrawnPixels(pixels[:calibrated], pixels[calibrated:], labels[calibrated:])


def make_quick(arguments: argparse.Namespace, work: Path) -> None:
    """Put a small backbone and small drawn pictures in place of what was not given."""
    os.environ["ONCEOVER_MODELS"] = str(work / "models")
    if arguments.backbone in (None, "vgg16"):
        run(python("benchmarks.inputs.synthetic", str(work / "tiny.keras")))
        arguments.backbone, arguments.preprocessing = str(work / "tiny.keras"), "caffe"
    arguments.source = arguments.source or str(draw(work / "drawn", 120, (48, 64)))


def options_of(precision: str, options: Sequence[str], work: Path) -> list[str]:
    """Return the options of an extraction: of int8 the exported model, as `make_ready` made it."""
    if precision == "int8":
        return ["--backbone", str(work / "int8.onnx"), "--precision", "int8"]
    return [*options, "--precision", precision]


def make_ready(
    source: Path, work: Path, options: Sequence[str], precision: str
) -> dict[str, Any] | None:
    """Export the backbone; return what an extraction of an image of each class takes then.

    options: those that choose the backbone. int8 is calibrated on images of the source, once;
    `export` has what that took. None if this backbone or machine has no int8.
    """
    exported: dict[str, Any] = {}
    if precision == "int8":
        try:
            exported = {"export": export_int8(source, work / "int8.onnx", options).payload()}
        except Failure:
            return None
    # The first run takes the model into the store of models; the second finds it there.
    for _ in range(2):
        shutil.rmtree(work / "ready", ignore_errors=True)
        model = options_of(precision, options, work)
        done = extract(source, work / "ready", model, "--limit-per-class", "1")
    shutil.rmtree(work / "ready")
    return {**done, **exported}


def extract(source: Path, cache: Path, options: Sequence[str], *more: str) -> dict[str, Any]:
    """Run `python -m engine.extract`; return its timings and, as `report`, what it printed.

    The paths in the report are this machine's, so only its figures are kept.
    """
    command = python("engine.extract", str(source), "--cache", str(cache), *options, *more)
    done = run([*command, "--json", "--quiet"])
    report = {key: value for key, value in done.result.items() if key != "source"}
    report["rejected"] = len(report["rejected"])
    return {**done.payload(), "report": report}


def fit(cache: Path, *more: str, report: bool = False) -> dict[str, Any]:
    """Run `python -m engine.fit_head`; return its timings and, as `report`, what it printed.

    report: whether it shall write its HTML report too.
    """
    options = [*more, *([] if report else ["--no-report"]), "--json", "--quiet"]
    done = run(python("engine.fit_head", "--cache", str(cache), *options))
    printed = {key: value for key, value in done.result.items() if key != "out"}
    return {**done.payload(), "report": printed}


def export_int8(source: Path | str, out: Path, options: Sequence[str]) -> Run:
    """Run `python -m engine.export` with int8, calibrated on images of a source."""
    return export_made(source, out, options, "int8")


def export_made(source: Path | str, out: Path, options: Sequence[str], precision: str) -> Run:
    """Run `python -m engine.export` with int8 or fast, made of images of a source."""
    return export(out, [*options, "--precision", precision, "--calibrate", str(source)])


def export(out: Path, options: Sequence[str]) -> Run:
    """Run `python -m engine.export`; what it printed is the model's description, as JSON."""
    return run(python("engine.export", *options, "--out", str(out), "--json", "--quiet"))
