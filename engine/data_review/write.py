"""What a review leaves: `review.html`, `review.csv`, and the lines on the terminal."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cache.commandline.printable import printable
from cache.files import write_whole
from engine.data_review.findings import Findings
from engine.data_review.sheet import NAME, sheet
from engine.pages.folder import dated_folder, require_free
from engine.pages.render import percent, render
from engine.pages.thumbnails import thumbnails

# How many of each kind are on the page, with their pictures.
_SUSPECTS, _PAIRS, _OTHERS, _ROWS = 120, 60, 24, 200

_PAGE = "review.html"

# Findings of a kind on the terminal.
_LINES = 5


def write_review(findings: Findings, cache: Path, out: Path | None) -> Path:
    """Write the page and the sheet; return their folder.

    out: None for `reviews/DATE` in the cache, with a number where there is one already.

    Raises:
        Failure: `out` is a file, or holds files already, such as a review that may be marked.
        OSError: something could not be written.
    """
    folder = dated_folder(cache / "reviews", NAME) if out is None else out
    if out is not None:
        require_free(out, "review")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / NAME, sheet(findings))
    write_whole(folder / _PAGE, review_page(findings, folder).encode("utf-8"))
    return folder


def review_page(findings: Findings, folder: Path) -> str:
    """Return the page. All text that comes from the data is escaped."""
    features, pairs = findings.features, findings.pairs
    suspects = findings.suspects[:_SUSPECTS].tolist()
    outliers = findings.outliers[:_OTHERS].tolist()
    uncertain = findings.uncertain[:_OTHERS].tolist()
    shown_pairs = pairs.images[:_PAIRS].tolist()
    paired = [image for pair in shown_pairs for image in pair]
    page = _Cards(findings, [*suspects, *outliers, *uncertain, *paired])
    total = max(1, int(features.counts.sum()))
    return render(
        "review.html",
        images=f"{len(features):,}",
        space=features.space.title or "cached features",
        figures=_figures(findings),
        warned=[]
        if findings.scores is not None
        else ["No label was checked: that takes two classes of two images at least."],
        suspects={
            "shown": _of(len(suspects), len(findings.suspects)),
            "cards": [page.suspect(image) for image in suspects],
        },
        pairs={
            "shown": _of(len(shown_pairs), len(pairs.images)),
            "cards": [page.pair(number) for number in range(len(shown_pairs))],
        },
        conflicts=[
            (path, label, dataset)
            for conflict in features.conflicts[:_ROWS]
            for dataset, path, label in conflict.samples
        ],
        rejected={
            "shown": _of(min(_ROWS, len(features.rejected)), len(features.rejected)),
            "rows": features.rejected[:_ROWS],
        },
        outliers=[
            page.card(image, [f"cosine {pairs.nearest[image]:.2f} to the nearest"])
            for image in outliers
        ],
        uncertain=[page.uncertain(image) for image in uncertain],
        classes=[
            (label, f"{count:,}", percent(count / total))
            for label, count in zip(features.classes, features.counts.tolist(), strict=True)
        ],
        usage=_usage(folder),
    )


class _Cards:
    """Findings with the pictures of the images that are shown."""

    def __init__(self, findings: Findings, images: Iterable[int]) -> None:
        self._findings = findings
        origins = findings.features.origins
        self._pictures = thumbnails((self._place(image) for image in images), origins)

    def _place(self, image: int) -> tuple[str, str]:
        features = self._findings.features
        return features.datasets[features.dataset_of[image]], features.paths[image]

    def card(self, image: int, lines: Sequence[str]) -> dict[str, Any]:
        """Return an image with lines about it."""
        place = self._place(image)
        label = self._findings.label(image)
        first = [f"labelled {label}"] if label else []
        return {
            "path": place[1],
            "picture": self._pictures.get(place),
            "lines": [*first, *lines],
        }

    def suspect(self, image: int) -> dict[str, Any]:
        """Return an image whose label is suspected."""
        findings = self._findings
        suggested = findings.features.classes[findings.suggested[image]]
        sure = f"{findings.confidence[image] * 100:.1f} % sure"
        return self.card(image, [f"looks like {suggested}, {sure}"])

    def uncertain(self, image: int) -> dict[str, Any]:
        """Return an image that the heads could not tell."""
        findings = self._findings
        suggested = findings.features.classes[findings.suggested[image]]
        return self.card(image, [f"{findings.confidence[image] * 100:.1f} % for {suggested}"])

    def pair(self, number: int) -> dict[str, Any]:
        """Return two images that are nearly the same."""
        findings = self._findings
        images = findings.pairs.images[number].tolist()
        sides = [findings.side(image) for image in images]
        labels = [findings.label(image) for image in images]
        line = f"cosine {findings.pairs.cosines[number]:.3f}"
        if all(sides):
            line += f"; {sides[0]} and {sides[1]}" if sides[0] != sides[1] else f"; both {sides[0]}"
        if labels[0] != labels[1]:
            line += f"; labelled {labels[0] or 'nothing'} and {labels[1] or 'nothing'}"
        places = [self._place(image) for image in images]
        return {
            "paths": [path for _, path in places],
            "pictures": [self._pictures.get(place) for place in places],
            "line": line,
        }


def _figures(findings: Findings) -> list[dict[str, str]]:
    features = findings.features
    shown = (
        (len(findings.suspects), "suspected labels"),
        (len(findings.pairs.images), "pairs of near-duplicates"),
        (len(features.conflicts), "images under several labels"),
        (len(features.rejected), "rejected files"),
    )
    return [{"value": f"{count:,}", "what": what} for count, what in shown]


def _of(shown: int, count: int) -> str:
    return f"All {count:,}" if shown == count else f"The first {shown:,} of {count:,}"


def _usage(folder: Path) -> list[str]:
    return [
        f"onceover review --apply {shlex.quote(str(folder / NAME))} --out labels.csv",
        "onceover extract labels.csv --cache DIR",
    ]


def summary(findings: Findings, folder: Path) -> str:
    """Return the lines that the command prints."""
    features, pairs = findings.features, findings.pairs
    lines = [f"{len(features):,} images reviewed"]
    lines.append(f"suspected labels: {len(findings.suspects):,}")
    for image in findings.suspects[:_LINES]:
        suggested = features.classes[findings.suggested[image]]
        lines.append(
            f"  {printable(features.paths[image])}: {printable(findings.label(image), 40)}, "
            f"looks like {printable(suggested, 40)} ({findings.confidence[image]:.3f})"
        )
    across = int(np.sum(_across(findings)))
    count = len(pairs.images)
    lines.append(
        f"near-duplicates: {count:,} pair{'s' * (count != 1)}, {across:,} of them across the split"
    )
    for pair, cosine in zip(pairs.images[:_LINES], pairs.cosines, strict=False):
        one, other = (printable(features.paths[image]) for image in pair)
        lines.append(f"  {one} and {other} ({cosine:.3f})")
    lines.append(f"under several labels: {len(features.conflicts):,}")
    lines += [f"  {printable(one.samples[0][1])}: {one}" for one in features.conflicts[:_LINES]]
    lines += [
        f"rejected: {len(features.rejected):,}",
        f"page: {printable(str(folder / 'review.html'))}",
    ]
    return "\n".join(lines)


def _across(findings: Findings) -> np.ndarray:
    first, second = findings.sides[findings.pairs.images].T
    return np.asarray((first != second) & (first >= 0) & (second >= 0))
