"""How often each way runs an image through the backbone, and what `compare`'s times come to.

From what was measured to the times of other numbers of images and epochs, and ratios.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from engine.heads.split import SIDES, split


@dataclass(frozen=True)
class Schedule:
    """A training as the report does it.

    train, validation, test: images. epochs: over train, with a validation after each.
    """

    train: int
    validation: int
    test: int
    epochs: int
    batch_size: int

    def images(self, phase: str) -> int:
        """Return how many images a phase sees in one pass."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[phase]

    def passes(self, phase: str) -> int:
        """Return how many passes of an image through the backbone a phase makes in all."""
        return self.images(phase) * (1 if phase == "test" else self.epochs)

    @property
    def backbone_passes(self) -> int:
        """Passes of all phases: 43,240 for 4,999 images, 70/15/15 and 10 epochs."""
        return sum(map(self.passes, SIDES))

    @property
    def distinct(self) -> int:
        """Images in all: the passes that a cache makes."""
        return self.train + self.validation + self.test


def schedule(per_class: Sequence[int], epochs: int, batch_size: int) -> Schedule:
    """Return the schedule of images of some classes under the split of `fit_head`."""
    labels = np.repeat(np.arange(len(per_class)), per_class)
    parts = split(labels)
    train, validation, test = (len(parts.side(side)) for side in SIDES)
    return Schedule(train, validation, test, epochs, batch_size)


@dataclass(frozen=True)
class EndToEnd:
    """Seconds that each phase takes for an image, measured."""

    per_image: dict[str, float]
    batch_size: int

    def seconds(self, images: int, epochs: int) -> float:
        """Return the seconds of a training on so many images of two classes."""
        plan = two_classes(images, epochs, self.batch_size)
        return sum(self.per_image[phase] * plan.passes(phase) for phase in SIDES)


@dataclass(frozen=True)
class Cached:
    """Seconds of the commands: to start, for each image that is extracted, for each epoch.

    start: an extraction of next to nothing. per_image: further images. fit: `fit_head` less its
    epochs, at the number of images that was measured. per_epoch: of Adam, at that number too.
    """

    start: float
    per_image: float
    fit: float
    per_epoch: float

    def cold(self, images: int, epochs: int) -> float:
        """Return the seconds of an extraction into an empty cache and a fit."""
        return self.start + self.per_image * images + self.warm(epochs)

    def warm(self, epochs: int) -> float:
        """Return the seconds of a fit on a full cache."""
        return self.fit + self.per_epoch * epochs


def two_classes(images: int, epochs: int, batch_size: int) -> Schedule:
    """Return the schedule of images of two classes, half and half."""
    return schedule([images - images // 2, images // 2], epochs, batch_size)


def end_to_end_times(measured: dict[str, Any]) -> EndToEnd:
    """Return the times that the result of `end_to_end` holds."""
    phases = measured["phases"]
    return EndToEnd(
        {phase: phases[phase]["seconds_per_image"] for phase in SIDES}, measured["batch_size"]
    )


def cached_times(measured: dict[str, Any]) -> Cached:
    """Return the times that the runs of one precision hold, see `compare`."""
    ready, cold = measured["ready"], measured["cold"]
    images = cold["report"]["computed"] - ready["report"]["computed"]
    per_image = max(0.0, cold["seconds"] - ready["seconds"]) / images
    ten = median(entry["seconds"] for entry in measured["fit_adam"])
    hundred = measured["fit_adam_100"]["seconds"]
    per_epoch = max(0.0, hundred - ten) / 90
    return Cached(ready["seconds"], per_image, ten - 10 * per_epoch, per_epoch)


def ratios(
    end_to_end: EndToEnd, measured: dict[str, Any], images: int, epochs: int
) -> dict[str, Any]:
    """Return how many times faster the cached way is, by its own commands' seconds.

    cold: extraction into an empty cache and `fit_head`. warm: `fit_head`. checked: an extraction
    that finds nothing to do, and `fit_head`. epochs: Adam's; those measured are 10.
    """
    whole = end_to_end.seconds(images, epochs)
    fit = median(entry["seconds"] for entry in measured["fit_adam"])
    again = median(entry["seconds"] for entry in measured["again"])
    times = cached_times(measured)
    extracted = measured["cold"]["report"]["computed"]
    partly = measured["cold"]["sampled"]
    cold = times.start + times.per_image * images if partly else measured["cold"]["seconds"]
    return {
        "end_to_end_seconds": whole,
        "cold_seconds": cold + fit,
        "cold_extrapolated": partly,
        "cold_images": extracted,
        "warm_seconds": fit,
        "checked_seconds": again + fit,
        "cold": whole / (cold + fit),
        "warm": whole / fit,
        "checked": whole / (again + fit),
        "images_where_cold_wins": _crossing(end_to_end, times, epochs),
        "epochs_where_cold_wins": _epochs(end_to_end, times, images),
    }


def all_in_ratios(
    end_to_end: EndToEnd, runs: dict[str, Any], export: dict[str, Any], plan: Schedule
) -> dict[str, Any]:
    """Return how many times faster the first run of all is, its choice of a precision included.

    runs: `extract` into an empty cache, `fit` by Adam. export: of the backbone from Keras.
    exported: with that as well.
    """
    whole = end_to_end.seconds(plan.distinct, plan.epochs)
    seconds = runs["extract"]["seconds"] + runs["fit"]["seconds"]
    exported = seconds + export["seconds"]
    return {
        "precision": runs["extract"]["report"]["precision"],
        "seconds": seconds,
        "exported_seconds": exported,
        "times_faster": whole / seconds,
        "exported_times_faster": whole / exported,
    }


def _crossing(end_to_end: EndToEnd, times: Cached, epochs: int) -> int | None:
    """Return the least number of images from which the cached way is faster, up to a million."""
    low, high = 20, 1_000_000
    if times.cold(high, epochs) >= end_to_end.seconds(high, epochs):
        return None
    while low < high:
        middle = (low + high) // 2
        if times.cold(middle, epochs) < end_to_end.seconds(middle, epochs):
            high = middle
        else:
            low = middle + 1
    return low


def _epochs(end_to_end: EndToEnd, times: Cached, images: int) -> float | None:
    """Return after how many epochs (a part of one included) the cached way is faster."""
    test = end_to_end.seconds(images, 1)
    each = end_to_end.seconds(images, 2) - test
    gain = each - times.per_epoch
    if gain <= 0:
        return None
    return max(0.0, (times.cold(images, 0) - (test - each)) / gain)
