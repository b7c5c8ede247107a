"""The parts of a report that show a head's answers to the test images."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.heads.figures import Figure
from engine.heads.fit import Fit
from engine.heads.scores import calibration_error, confidence_bins
from engine.pages.render import percent
from engine.pages.thumbnails import thumbnails

# Rows of a table.
ROWS = 20

# How much of what grows with the classes or the mistakes is shown.
_MATRIX_CLASSES = 15
_NAMED_COLUMNS, _SHORT = 6, 14
_MISTAKES = 24


def _range(figure: Figure) -> str:
    if figure.interval is None:
        return percent(figure.value)
    low, high = figure.interval
    return f"{percent(figure.value)} ({low * 100:.1f} to {high * 100:.1f})"


def mistakes(fit: Fit) -> dict[str, Any]:
    """Return the surest mistakes with their pictures."""
    test, features = fit.test, fit.features
    wrong = np.flatnonzero(test.predicted != test.labels)
    worst = wrong[np.argsort(-test.confidences[wrong], kind="stable")][:_MISTAKES]
    images = [int(fit.split.test[place]) for place in worst]
    places = [
        (features.datasets[features.dataset_of[image]], features.paths[image]) for image in images
    ]
    pictures = thumbnails(places, features.origins)
    cards = [
        {
            "path": place[1],
            "picture": pictures.get(place),
            "lines": [
                f"labelled {features.classes[test.labels[number]]}",
                f"taken for {features.classes[test.predicted[number]]}",
                f"{test.confidences[number] * 100:.1f} % sure",
            ],
        }
        for number, place in zip(worst, places, strict=True)
    ]
    shown = f"{len(cards)} of {len(wrong):,}" if len(cards) < len(wrong) else f"All {len(wrong):,}"
    return {"cards": cards, "shown": shown, "tested": f"{len(test):,}"}


def matrix(fit: Fit) -> list[list[dict[str, Any]]]:
    """Return the cells of the confusion matrix, true classes in rows; none for many classes."""
    if len(fit.features.classes) > _MATRIX_CLASSES:
        return []
    return [
        [
            {
                "right": taken == true,
                # The square root shows a single mistake among hundreds.
                "share": f"{0.6 * np.sqrt(count / max(row.sum(), 1)):.2f}",
                "count": f"{count:,}",
            }
            for taken, count in enumerate(row.tolist())
        ]
        for true, row in enumerate(fit.test.confusion)
    ]


def columns(names: Sequence[str]) -> list[str]:
    """Return the heads of the matrix' columns: names where they fit, else their numbers."""
    if len(names) <= _NAMED_COLUMNS and max(map(len, names)) <= _SHORT:
        return list(names)
    return [str(number) for number in range(1, len(names) + 1)]


def confusions(fit: Fit) -> list[tuple[str, str, str]]:
    """Return the commonest mistakes: label, what it is taken for, how often."""
    names, confusion = fit.features.classes, fit.test.confusion
    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:ROWS]
    pairs = [divmod(int(cell), len(names)) for cell in order if wrong.flat[cell]]
    return [(names[true], names[taken], f"{wrong[true, taken]:,}") for true, taken in pairs]


def classes(fit: Fit) -> list[tuple[str, ...]]:
    """Return the figures of each class, those of the least recall first."""
    figures, features = fit.figures.per_class, fit.features
    order = sorted(range(len(figures)), key=lambda code: (figures[code].recall.value, code))
    return [
        (
            features.classes[code],
            f"{features.counts[code]:,}",
            f"{figures[code].images:,}",
            _range(figures[code].recall),
            _range(figures[code].precision),
        )
        for code in order[:ROWS]
    ]


def calibration(fit: Fit) -> str:
    """Say how far the head's certainty is from how often it is right."""
    error = calibration_error(confidence_bins(fit.test))
    text = f"On average they are {percent(error)} apart (expected calibration error)"
    if fit.temperature == 1:
        return f"{text}."
    return (
        f"{text}, {percent(fit.unscaled_error)} before the head's certainty was scaled on the "
        f"validation images (temperature {fit.temperature:.3g})."
    )
