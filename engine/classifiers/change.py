"""What another precision of its backbone changes in a head's answers, measured on images."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.backbones.backbone import Backbone
from engine.backbones.model import ModelFile
from engine.classifiers.classify import Classifier
from engine.classifiers.judged_images import JudgedImages, images_of_head, images_of_source
from engine.heads.head import Head
from engine.precision.paired_heads import sign_test

# What chance alone gives more often than this is no measurable change.
_CHANCE = 0.05


@dataclass(frozen=True)
class Change:
    """A head's answers to N images, with the backbone that it was trained on and with another.

    before, after: precisions. agreement: the share of the images that get the same label.
    largest: of all differences between two probabilities. labelled: how many of the images have a
    label that the head knows; accuracy_before, accuracy_after: the shares of those that are right,
    None where there are none. lost, won: how many of them only one of the two gets right, and
    p_value: how likely so unequal a number is by chance (a sign test, two-sided).
    images_of: what the images are.
    """

    before: str
    after: str
    images: int
    agreement: float
    largest: float
    labelled: int
    accuracy_before: float | None
    accuracy_after: float | None
    lost: int
    won: int
    p_value: float
    images_of: str

    def payload(self) -> dict[str, Any]:
        """Return all figures as JSON values."""
        return asdict(self)

    def summary(self) -> str:
        """Return one line."""
        accuracy = "no labels to tell the accuracy by"
        if self.accuracy_before is not None and self.accuracy_after is not None:
            accuracy = (
                f"accuracy {self.accuracy_after:.4f} instead of {self.accuracy_before:.4f} "
                f"({self.lost} lost, {self.won} won: {self._certainty()})"
            )
        return (
            f"{self.after} instead of {self.before}, on {self.images:,} images of "
            f"{self.images_of}: {accuracy}, the same label for {self.agreement:.1%}, "
            f"probabilities differ by {self.largest:.3f} at most"
        )

    def _certainty(self) -> str:
        if self.p_value > _CHANCE:
            return "no measurable change"
        return f"chance alone gives that in {self.p_value:.1%} of cases"


@contextmanager
def judging_images(
    head: Head, folder: Path, source: str | None
) -> Iterator[tuple[Sequence[JudgedImages], str]]:
    """Open the images that a change is measured on; give them with what they are.

    folder: of the head. source: a source of the user's; None for the head's own images.
    """
    if source is None:
        with images_of_head(folder) as several:
            yield several, "the head's test side"
        return
    with images_of_source(source, head.classes) as one:
        yield [one], str(source)


def measure_change(
    head: Head,
    models: tuple[ModelFile, ModelFile],
    images: Sequence[JudgedImages],
    images_of: str,
) -> Change | None:
    """Ask a head about images with two backbones; None where no image gives an answer.

    models: the head's own, and the other.
    """
    answers = [_answers(Classifier(Backbone(model), head), images) for model in models]
    places = sorted(answers[0].keys() & answers[1].keys())
    if not places:
        return None
    one, other = (np.stack([answer[place] for place in places]) for answer in answers)
    codes = {label: code for code, label in enumerate(head.classes)}
    labels = np.array([codes.get(images[n].labels.get(path, ""), -1) for n, path in places])
    known, guesses = labels >= 0, (one.argmax(axis=1), other.argmax(axis=1))
    right = [(guess == labels)[known] for guess in guesses]
    lost, won = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return Change(
        before=models[0].description.precision,
        after=models[1].description.precision,
        images=len(places),
        agreement=float((guesses[0] == guesses[1]).mean()),
        largest=float(np.abs(one - other).max()),
        labelled=int(known.sum()),
        accuracy_before=float(right[0].mean()) if known.any() else None,
        accuracy_after=float(right[1].mean()) if known.any() else None,
        lost=lost,
        won=won,
        p_value=min(1.0, 2 * sign_test(max(lost, won), min(lost, won))),
        images_of=images_of,
    )


def _answers(
    classifier: Classifier, images: Sequence[JudgedImages]
) -> dict[tuple[int, str], np.ndarray]:
    """Return the probabilities of each image that has some, by its source's number and path."""
    return {
        (number, prediction.path): prediction.probabilities
        for number, part in enumerate(images)
        for prediction in classifier.classify_source(part.source, samples=part.asked)
        if prediction.probabilities is not None
    }
