"""How many times each way runs an image through the backbone; nothing here is typed in."""

from collections.abc import Sequence
from dataclasses import dataclass

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
