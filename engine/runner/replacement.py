"""What an extraction takes from the rows that its dataset has, said before it begins."""

import logging
from collections import Counter

from cache.commandline.words import counted
from cache.files import Damaged
from cache.rows import class_order
from cache.segments import segments_of
from cache.store import Space
from engine.runner.survey import Survey, named_counts
from engine.sources.samples import Samples

_log = logging.getLogger(__name__)


def tell_replacement(survey: Survey, space: Space) -> None:
    """Log which rows of a survey's dataset it replaces by fewer; nothing where none is lost.

    A warning where images that are in the source still are left out, or lose their labels. The
    rows of a share, and rows that are added to, are not looked at.
    """
    if survey.adds or survey.selection.share is not None:
        return
    after = Samples.of(survey.samples).label_counts()
    try:
        before = segments_of(space.path, survey.dataset).label_counts()
        if all(count <= after[label] for label, count in before.items()):
            return
        losses = _losses(survey, space)
    except Damaged:  # the pass replaces such rows, whatever they were
        return
    text = f"replaces {_rows(before)} of this source by {_rows(after)}"
    if losses:
        _log.warning("%s: %s; the features stay in the cache", text, " and ".join(losses))
    else:
        _log.info("%s", text)


def _losses(survey: Survey, space: Space) -> list[str]:
    """Return what is lost of images that the source has still, in words."""
    labels = {sample.path: sample.label for sample in survey.samples}
    complete = len(labels) == len(survey.source.samples)
    there = frozenset() if complete else frozenset(s.path for s in survey.source.samples)
    unlabelled = left_out = 0
    for row in space.rows([survey.dataset]):
        if row.path in labels:
            unlabelled += row.label is not None and labels[row.path] is None
        else:
            left_out += row.path in there
    return [
        *([f"{counted(left_out, 'image')} of it will have no row"] if left_out else []),
        *([f"{counted(unlabelled, 'image')} will have no label"] if unlabelled else []),
    ]


def _rows(counts: Counter[str | None]) -> str:
    """Return how many rows there are, and of which labels."""
    labels = {label: count for label, count in counts.items() if label is not None and count}
    words = [named_counts({label: labels[label] for label in class_order(labels)})]
    if unlabelled := counts[None]:
        words.append(f"{unlabelled:,} without a label")
    return f"{counted(counts.total(), 'row')} ({', '.join(filter(None, words))})"
